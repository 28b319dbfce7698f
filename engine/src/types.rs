//! The numbers of a partition's log, each its own type so that an offset can never be passed where an epoch is due.
//!
//! Every type wraps the wire's integer (`.0`), orders as that integer orders and prints as it. `-1` is Kafka's "none"
//! for all of them, spelled `NONE` here.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $int);

        impl $name {
            /// Kafka's "there is none": -1 on the wire and on disk.
            pub const NONE: $name = $name(-1);

            /// Whether this is anything but "none" or some other negative number.
            pub const fn is_some(self) -> bool {
                self.0 >= 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                $name(value)
            }
        }
    };
}

number! {
    /// Position of a record in a partition, counted in records from 0.
    Offset(i64)
}
number! {
    /// Generation of a partition's leader; each new leader has a greater one.
    LeaderEpoch(i32)
}
number! {
    /// A broker as the holder of a replica: its `node.id`.
    ReplicaId(i32)
}
number! {
    /// Which registration of a broker: a rebooted one has a greater one (KIP-380).
    BrokerEpoch(i64)
}
number! {
    /// Counts every change of a partition's state; compared and set by AlterPartition (KIP-497).
    PartitionEpoch(i32)
}
number! {
    /// Identity of an idempotent or transactional producer.
    ProducerId(i64)
}
number! {
    /// Generation of a producer id; a greater one fences the smaller.
    ProducerEpoch(i16)
}
number! {
    /// Number of a record within one producer id and epoch, per partition; wraps to 0 after `i32::MAX`.
    Sequence(i32)
}
number! {
    /// Milliseconds since the Unix epoch.
    Timestamp(i64)
}

impl Offset {
    /// Offset of the first record ever written to a partition.
    pub const ZERO: Offset = Offset(0);
    /// Beyond every offset a log can reach.
    pub const MAX: Offset = Offset(i64::MAX);

    /// The offset `records` further on, stopping at the ends of the number range instead of wrapping.
    pub const fn saturating_add(self, records: i64) -> Offset {
        Offset(self.0.saturating_add(records))
    }

    /// The offset after this one.
    pub const fn next(self) -> Offset {
        self.saturating_add(1)
    }
}

impl Sequence {
    /// The sequence `records` further on. A producer counts 0, 1, .., `i32::MAX`, 0, ..: the successor of the
    /// greatest sequence is 0, not a negative number.
    pub const fn advance(self, records: i32) -> Sequence {
        let sum = self.0 as i64 + records as i64;
        let period = i32::MAX as i64 + 1;
        Sequence(sum.rem_euclid(period) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_wraps_to_zero_as_the_java_client_counts() {
        // A producer that wrote 2^31 records would otherwise be refused as out of order for ever.
        assert_eq!(Sequence(i32::MAX).advance(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 2).advance(5), Sequence(2));
        assert_eq!(Sequence(7).advance(0), Sequence(7));
        assert_eq!(Sequence(0).advance(-1), Sequence(i32::MAX));
    }

    #[test]
    fn numbers_print_as_numbers() {
        assert_eq!(format!("{} {:?}", Offset(5), LeaderEpoch(2)), "5 LeaderEpoch(2)");
        assert_eq!(format!("{:>4}", Offset(5)), "   5");
        assert!(!Timestamp::NONE.is_some());
    }
}
