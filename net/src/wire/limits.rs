//! How much a message may announce. The numbers are those of Kafka 4.4's decoders; Kafka applies them to each array and
//! each struct, we apply them to the sum over a message, so that what a decoder builds stays in proportion to one frame.

/// Array elements of one message, all arrays together.
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;

/// Unknown tagged fields of one message, all structs together.
pub const TAGGED_FIELDS_MAX: usize = 10_000;

/// Bytes of one string: the classic encoding cannot say more, and Kafka refuses more in the flexible one.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
