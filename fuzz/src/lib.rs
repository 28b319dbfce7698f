//! What fuzz targets share.

pub mod operations;
