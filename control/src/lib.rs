//! Cluster decisions: the metadata log and its records, the image every broker holds of the cluster, the controller
//! that decides what comes next.
//!
//! Rules are pure (requests and an image in, records out); the metadata log and the controller's thread reach disk,
//! time and chance through `reactor`.

pub mod config;
pub mod controller;
pub mod group;
pub mod image;
pub mod quorum;
pub mod record;
pub mod service;
pub mod store;
