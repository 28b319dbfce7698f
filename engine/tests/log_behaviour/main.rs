//! A partition's log on a real disk: what producers, consumers and operators may rely on.

mod append_and_read;
mod commit;
mod compaction;
mod producers;
mod recovery;
mod retention;
mod scrub;
mod support;
mod timestamps;
mod transaction_index;
mod transactions;
