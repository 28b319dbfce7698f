//! The contract of `MetaLog`, asked of every backend: the same tests over the embedded log, the store in memory (well and badly behaved), and
//! real servers.
//!
//! `RINGLOG_TEST_ETCD`: the program `etcd`; `RINGLOG_TEST_ZOOKEEPER`: the class path of ZooKeeper's server (Debian: /usr/share/java/zookeeper.jar). `cargo xtask test` sets both.
//! Without them the tests that need them say that they were skipped.
//!
//! A new backend: a [`place::Place`], and a line per test in a file beside these.

mod contention;
mod embedded;
#[cfg(feature = "etcd")]
mod etcd;
mod memory;
mod place;
mod quorum;
mod server;
mod suite;
#[cfg(feature = "zookeeper")]
mod zookeeper;
