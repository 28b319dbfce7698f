//! Between tasks of one reactor.

mod budget;
mod notify;

pub use budget::{Budget, Reservation};
pub use notify::{Notified, Notify};
