//! The embedded log.

use control::store::StoreConfig;

use crate::place::{Place, run};
use crate::suite;

#[test]
fn the_embedded_log_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().to_owned();
    let place = Place::new(1, move |_| StoreConfig::Embedded { dir: path.clone() });
    run(suite::one_member(&place));
}
