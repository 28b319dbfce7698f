//! The shape of every request we serve, checked before anything is decoded.
//!
//! Why: kafka-protocol's array decoder sizes its vector from the announced count. A request that announces 2^31 elements
//! would abort the process. [`check`] walks the bytes by the table of the API and version, allocates nothing, and lets
//! only messages through whose counts and lengths are covered by bytes that arrived.
//!
//! The tables repeat Kafka 4.4's message schemas: field, kind, versions, where null is allowed. They are also the one
//! place that knows which APIs exist, at which versions, and from which version on they are flexible.

#[cfg(test)]
mod agreement;
mod cluster;
mod configs;
mod data;
mod field;
mod groups;
mod quorum;
mod topics;
mod walk;

pub use field::{Api, Field, Kind};
pub use walk::{ShapeError, check};

/// All APIs we know, by key.
pub fn api(key: i16) -> Option<&'static Api> {
    APIS.iter()
        .flat_map(|family| family.iter())
        .find(|api| api.key == key)
}

/// All APIs we know.
pub fn apis() -> impl Iterator<Item = &'static Api> {
    APIS.iter().flat_map(|family| family.iter())
}

const APIS: [&[Api]; 6] = [
    data::APIS,
    groups::APIS,
    topics::APIS,
    configs::APIS,
    cluster::APIS,
    quorum::APIS,
];
