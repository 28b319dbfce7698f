//! `ringlog.store`: which store, and where it is.

use thiserror::Error;

use crate::config::{Endpoint, ListenerError};

/// One of the forms of `ringlog.store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded`
    Embedded,
    /// `etcd://HOST:PORT,HOST:PORT`
    Etcd(Vec<Endpoint>),
    /// `zookeeper://HOST:PORT,HOST:PORT`
    ZooKeeper(Vec<Endpoint>),
    /// `quorum://1@HOST:PORT,2@HOST:PORT`
    Quorum(Vec<(i32, Endpoint)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreUrlError {
    #[error(
        "must be embedded, etcd://HOST:PORT[,HOST:PORT], zookeeper://HOST:PORT[,HOST:PORT] or quorum://ID@HOST:PORT[,ID@HOST:PORT]"
    )]
    Form,
    #[error("names two stores; a cluster has one")]
    TwoStores,
    #[error("{text}: {why}")]
    Address { text: String, why: ListenerError },
    #[error("{0}: a voter is ID@HOST:PORT, with an id of its own")]
    Voter(String),
    #[error("names {0} twice")]
    Twice(String),
}

impl StoreUrl {
    pub fn parse(text: &str) -> Result<StoreUrl, StoreUrlError> {
        if text == "embedded" {
            return Ok(StoreUrl::Embedded);
        }
        let (scheme, addresses) = text.split_once("://").ok_or(StoreUrlError::Form)?;
        if addresses.contains("://") || addresses.split(',').any(|word| word.trim() == "embedded") {
            return Err(StoreUrlError::TwoStores);
        }
        let words: Vec<&str> = addresses.split(',').map(str::trim).collect();
        match scheme {
            "etcd" => Ok(StoreUrl::Etcd(endpoints(&words)?)),
            "zookeeper" => Ok(StoreUrl::ZooKeeper(endpoints(&words)?)),
            "quorum" => voters(&words),
            _ => Err(StoreUrlError::Form),
        }
    }

    /// As people write it.
    pub fn scheme(&self) -> &'static str {
        match self {
            StoreUrl::Embedded => "embedded",
            StoreUrl::Etcd(_) => "etcd",
            StoreUrl::ZooKeeper(_) => "zookeeper",
            StoreUrl::Quorum(_) => "quorum",
        }
    }
}

fn endpoint(text: &str) -> Result<Endpoint, StoreUrlError> {
    let refused = |why| StoreUrlError::Address {
        text: text.to_owned(),
        why,
    };
    let endpoint = Endpoint::parse(text).map_err(refused)?;
    if endpoint.host.is_empty() {
        return Err(refused(ListenerError::BadHost));
    }
    if endpoint.port == 0 {
        return Err(refused(ListenerError::BadPort));
    }
    Ok(endpoint)
}

fn endpoints(words: &[&str]) -> Result<Vec<Endpoint>, StoreUrlError> {
    let mut found: Vec<Endpoint> = Vec::with_capacity(words.len());
    for word in words {
        let endpoint = endpoint(word)?;
        if found.contains(&endpoint) {
            return Err(StoreUrlError::Twice((*word).to_owned()));
        }
        found.push(endpoint);
    }
    Ok(found)
}

fn voters(words: &[&str]) -> Result<StoreUrl, StoreUrlError> {
    let mut found: Vec<(i32, Endpoint)> = Vec::with_capacity(words.len());
    for word in words {
        let refused = || StoreUrlError::Voter((*word).to_owned());
        let (id, address) = word.split_once('@').ok_or_else(refused)?;
        let id: i32 = id.parse().ok().filter(|id| *id >= 0).ok_or_else(refused)?;
        let endpoint = endpoint(address)?;
        if found.iter().any(|(other, _)| *other == id) {
            return Err(refused());
        }
        found.push((id, endpoint));
    }
    Ok(StoreUrl::Quorum(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_two_stores_are_refused() {
        // A broker that took the first of two would write to a store that its operator has left.
        let at = |text: &str| Endpoint::parse(text).expect("address");
        assert_eq!(StoreUrl::parse("embedded"), Ok(StoreUrl::Embedded));
        assert_eq!(
            StoreUrl::parse("etcd://a:2379,[::1]:2379"),
            Ok(StoreUrl::Etcd(vec![at("a:2379"), at("[::1]:2379")]))
        );
        assert_eq!(
            StoreUrl::parse("zookeeper://a:2181"),
            Ok(StoreUrl::ZooKeeper(vec![at("a:2181")]))
        );
        assert_eq!(
            StoreUrl::parse("quorum://1@a:9093,2@b:9093"),
            Ok(StoreUrl::Quorum(vec![(1, at("a:9093")), (2, at("b:9093"))]))
        );
        for two in [
            "etcd://a:1,zookeeper://b:2",
            "etcd://a:1,embedded",
            "etcd://a:1,etcd://b:1",
        ] {
            assert_eq!(StoreUrl::parse(two), Err(StoreUrlError::TwoStores), "{two}");
        }
        for wrong in [
            "",
            "embedded,etcd://a:1",
            "redis://a:1",
            "etcd://",
            "etcd://a",
            "etcd://a:0",
            "etcd://:1",
            "etcd://a:1,a:1",
            "quorum://a:1",
            "quorum://1@a:1,1@b:1",
            "quorum://-1@a:1",
        ] {
            assert!(StoreUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
