//! Points in time, UTC: milliseconds since the epoch <-> `2026-01-31T12:00:00.000Z`.

const MS_PER_DAY: i64 = 86_400_000;

/// ISO 8601 in UTC; a negative timestamp is none.
pub fn format(timestamp_ms: i64) -> String {
    let days = timestamp_ms.div_euclid(MS_PER_DAY);
    let ms = timestamp_ms.rem_euclid(MS_PER_DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Reads a date (`2026-01-31`), or one with a time (`T12:00`, `T12:00:00`, `T12:00:00.000`), in UTC (a `Z` may follow)
/// or with an offset (`+02:00`, `-0730`).
pub fn parse(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4, 4)?;
    let month = digits(parts.next()?, 2, 2)?;
    let day = digits(parts.next()?, 2, 2)?;
    let days = days_since_epoch(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let ms = time.map_or(Some(0), time_of_day_ms)?;
    Some(days * MS_PER_DAY + ms)
}

fn time_of_day_ms(text: &str) -> Option<i64> {
    let (clock, shift_ms) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) => {
            let (clock, zone) = text.split_at(at);
            (clock, zone_ms(zone)?)
        }
    };
    let mut parts = clock.splitn(3, ':');
    let hour = digits(parts.next()?, 2, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2, 2).filter(|minute| *minute < 60)?;
    let (second, ms) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let fraction_digits = fraction.len() as u32;
            let ms = digits(fraction, 1, 9)? * 1000 / 10i64.pow(fraction_digits);
            (digits(whole, 2, 2).filter(|second| *second < 60)?, ms)
        }
    };
    Some((hour * 3600 + minute * 60 + second) * 1000 + ms - shift_ms)
}

fn zone_ms(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let rest = rest.replace(':', "");
    let minutes = match rest.len() {
        2 => digits(&rest, 2, 2)? * 60,
        4 => digits(rest.get(..2)?, 2, 2)? * 60 + digits(rest.get(2..)?, 2, 2)?,
        _ => return None,
    };
    Some(sign * minutes * 60_000)
}

fn digits(text: &str, min: usize, max: usize) -> Option<i64> {
    let fits = (min..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_since_epoch`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_they_were_written() {
        // An offset reset by a wrong time skips or repeats records.
        assert_eq!(format(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(format(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        for ms in [
            0,
            951_782_400_000,
            951_868_799_999,
            1_709_164_800_000,
            4_102_444_800_000,
            -1,
        ] {
            assert_eq!(parse(&format(ms)), Some(ms), "{ms}");
        }
    }

    #[test]
    fn dates_zones_and_fractions_are_understood() {
        assert_eq!(parse("2023-11-14"), Some(1_699_920_000_000));
        assert_eq!(parse("2023-11-14T22:13"), Some(1_699_999_980_000));
        assert_eq!(parse("2023-11-14 22:13:20.5"), Some(1_700_000_000_500));
        assert_eq!(parse("2023-11-15T00:13:20+02:00"), Some(1_700_000_000_000));
        assert_eq!(parse("2023-11-14T14:43:20-0730"), Some(1_700_000_000_000));
        for wrong in [
            "",
            "2023",
            "2023-02-29",
            "2023-13-01",
            "2023-11-14T24:00",
            "2023-11-14T10:00+1",
            "20231114",
            "2023-11-14T10:00:00.",
            "2023-11-1é",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
