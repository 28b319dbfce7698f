//! Which partition of `__consumer_offsets` a group belongs to.

/// The partition that coordinates `group_id`, out of `partition_count`; 0 when there are none.
///
/// Every Kafka client and tool computes the same: the absolute value of Java's `String.hashCode`, modulo the count.
/// Java hashes UTF-16 code units, not characters, and the one value without an absolute value becomes 0.
pub fn partition_for(group_id: &str, partition_count: i32) -> i32 {
    if partition_count <= 0 {
        return 0;
    }
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0) % partition_count
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    /// A group looked for on the wrong partition loses its offsets. Expected numbers printed by Kafka 4.3.1.
    #[test]
    fn agrees_with_kafka() {
        for (group, partition) in [
            ("billing", 9),
            ("", 0),
            ("ünïcode-😀", 30),
            ("a", 47),
            ("polygenelubricants", 0), // its hash is the smallest i32
            ("group-17", 32),
        ] {
            assert_eq!(partition_for(group, 50), partition, "{group}");
        }
        assert_eq!(partition_for("a", 0), 0);
    }
}
