//! Which partition a record goes to, as Kafka's Java client decides it: by the key's hash, or by turns.

/// The partition of a key among `count` of them.
pub fn partition_of_key(key: &[u8], count: usize) -> usize {
    // the sign bit is dropped, as `Utils.toPositive` does
    (murmur2(key) & 0x7fff_ffff) as usize % count.max(1)
}

/// The 32-bit MurmurHash2 with the seed of Kafka's clients, over little-endian words.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = word
            .iter()
            .rev()
            .fold(0, |k, byte| k << 8 | u32::from(*byte))
            .wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_kafkas_clients_hash_them() {
        // Otherwise a key's records would be spread over two partitions, and its order lost. Values of UtilsTest in Kafka.
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key) as i32, hash);
        }
        assert!(partition_of_key(b"21", 7) < 7);
        assert_eq!(partition_of_key(b"21", 0), 0);
    }
}
