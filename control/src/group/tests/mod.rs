//! Stories: given, when, then. Each file tells those of one part; [`Stage`] plays the host.

mod admin;
mod expiry;
mod failures;
mod membership;
mod offsets;
mod random;
mod sessions;
mod stage;
mod static_members;
mod versions;

use stage::Stage;
