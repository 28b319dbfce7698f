//! Logs with a journal: what was acknowledged comes back, whatever the segment files have.

mod interrupted;
mod replay;
mod support;
mod truncate;
mod write_path;
