//! Writing groups: as many at a time as the disk takes well, each durable when its write returns.

use std::rc::Rc;
use std::time::Duration;

use super::files::Layout;
use super::shared::{Next, Shared, Write};

/// Pause after a file that could not be made: a full disk is not less full at once.
const GROW_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs until the journal is closed or given up.
pub(super) async fn run(shared: Rc<Shared>) {
    loop {
        match shared.next_write() {
            Next::Write(write) => {
                reactor::spawn(one(shared.clone(), write)).detach();
                make_file_if_wanted(&shared);
                continue;
            }
            Next::Full => {
                make_file_if_wanted(&shared);
                shared.checkpoint.notify_one();
            }
            Next::Wait => {}
            Next::End => return,
        }
        shared.work.notified().await;
    }
}

async fn one(shared: Rc<Shared>, write: Write) {
    let (buf, result) = write.file.write_synced(write.buf, write.position).await;
    drop(buf);
    shared.written(write.sequence, result);
}

/// The ring grows before it is full, on a helper thread.
fn make_file_if_wanted(shared: &Rc<Shared>) {
    let wanted = {
        let mut state = shared.state.borrow_mut();
        let number = state.files.wants_file();
        number.map(|number| (state.files.layout.clone(), number))
    };
    if let Some((layout, number)) = wanted {
        reactor::spawn(make_file(shared.clone(), layout, number)).detach();
    }
}

async fn make_file(shared: Rc<Shared>, layout: Layout, number: u32) {
    let made = reactor::background(move || layout.make_file(number)).await;
    if let Err(error) = &made {
        // No room for a larger ring: producers wait for checkpoints instead.
        tracing::warn!(%error, "the journal does not grow");
        reactor::sleep(GROW_AGAIN_AFTER).await;
    }
    shared.state.borrow_mut().files.made(made.ok());
    shared.work.notify_one();
}
