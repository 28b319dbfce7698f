//! The numbers of `engine` as members send them to each other: plain numbers.

use engine::types::{LeaderEpoch, Offset, ProducerId};

macro_rules! as_number {
    ($( $module:ident: $type:ident($number:ty), )*) => {
        $(
            pub(super) mod $module {
                use serde::{Deserialize, Deserializer, Serialize, Serializer};

                use super::$type;

                pub(in crate::controller) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                    value.0.serialize(to)
                }

                pub(in crate::controller) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<$type, D::Error> {
                    <$number>::deserialize(from).map($type)
                }
            }
        )*
    };
}

as_number! {
    offset: Offset(i64),
    leader_epoch: LeaderEpoch(i32),
    producer_id: ProducerId(i64),
}
