//! CRC-32C (Castagnoli), the checksum of batches. One function, so that a faster one replaces it in one place.

/// CRC-32C of `bytes`; hardware instructions where the processor has them.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues `crc` (a result of [`crc32c`]) over further bytes.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_3720() {
        // Vectors of RFC 3720 B.4: another polynomial would make every foreign client see corruption.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(
            crc32c_append(crc32c(&ascending[..7]), &ascending[7..]),
            0x46dd_794e
        );
    }
}
