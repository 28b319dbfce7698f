//! Listeners.

use super::reason;
use crate::config::property::{Owner, Section, list, string};

pub(super) const SECTION: Section = Section {
    title: "Listeners",
    intro: "Where clients connect and what they are told.",
    owner: Owner::Broker,
    rows: &[
        list("listeners")
            .default("PLAINTEXT://127.0.0.1:9092")
            .high()
            .kafka_default(
                "PLAINTEXT://:9092",
                "without authentication nothing is opened to the network unless asked for",
            )
            .fixed_here("sockets are bound at start")
            .flag("--listen")
            .doc(
                "Addresses to listen on, as NAME://host:port. An empty host means every interface. \
                 Only PLAINTEXT listeners are served; others are refused at start.",
            ),
        list("advertised.listeners").high().doc(
            "Addresses told to clients, by listener name; unset: the value of listeners. Set it \
                 where clients reach this node through another name or port.",
        ),
        string("listener.security.protocol.map")
            .default("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")
            .low()
            .fixed_here("listeners are bound at start")
            .doc("Which security protocol each listener name uses, as NAME:PROTOCOL."),
        string("inter.broker.listener.name")
            .doc("Name of the listener used between brokers; unset: the first of listeners."),
        string("security.inter.broker.protocol")
            .default("PLAINTEXT")
            .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
            .no_effect(reason::NO_TLS)
            .doc("Security protocol used between brokers."),
        list("early.start.listeners")
            .high()
            .no_effect(reason::NO_AUTHORIZER)
            .doc("Listeners that may start before the authorizer is ready."),
    ],
};
