//! Why the broker does not start on these directories.

use std::path::PathBuf;

use engine::directory::DirectoryError as EngineError;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("log.dirs: {} is given twice", dir.display())]
    Twice { dir: PathBuf },
    #[error("log.dirs: {found} directories, at most 65535 are served")]
    TooMany { found: usize },
    #[error("node.id is {configured}, but {} belongs to node {found}", dir.display())]
    OtherNode {
        configured: i32,
        found: i32,
        dir: PathBuf,
    },
    #[error("{} belongs to cluster {found}, {} to cluster {expected}", dir.display(), other.display())]
    OtherCluster {
        dir: PathBuf,
        found: String,
        other: PathBuf,
        expected: String,
    },
    #[error(
        "the data in {} belongs to a cluster whose store is {found}, but ringlog.store is {configured}: a cluster keeps its store \
         for life",
        dir.display()
    )]
    OtherStore {
        dir: PathBuf,
        found: String,
        configured: String,
    },
    #[error("{}: {source}", path.display())]
    Store { path: PathBuf, source: std::io::Error },
    #[error("{} and {} have the same directory.id: one is a copy of the other", dir.display(), other.display())]
    SameId { dir: PathBuf, other: PathBuf },
    #[error(
        "{} has partitions, {partition} for one, but no {missing}: without it nobody can tell whose they are",
        dir.display()
    )]
    Headless {
        dir: PathBuf,
        partition: String,
        missing: &'static str,
    },
    #[error("cannot list {}: {source}", path.display())]
    List { path: PathBuf, source: std::io::Error },
    #[error("cannot put aside {}, a partition of no known topic: {source}", path.display())]
    Stray { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    TopicIds { path: PathBuf, source: std::io::Error },
    #[error("{}, the first of log.dirs and the one with the metadata log, has failed: {why}", dir.display())]
    MetadataDirectoryLost { dir: PathBuf, why: String },
    #[error("the cluster metadata cannot be told of the state of log.dirs: {0}")]
    Controller(#[from] control::service::CallError),
}
