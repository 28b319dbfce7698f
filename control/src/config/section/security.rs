//! Security.

use super::reason;
use crate::config::property::{Owner, Section, boolean, class, int, list, long, password, string};

pub(super) const SECTION: Section = Section {
    title: "Security",
    intro: "Authentication, authorization and encryption are not served yet: what would only \
            pretend to protect is refused at start.",
    owner: Owner::Broker,
    rows: &[
        string("authorizer.class.name")
            .default("")
            .low()
            .refused_unless_default(reason::NO_AUTHORIZER)
            .doc(
                "Class that decides who may do what. Setting it is an error, because nothing would be \
                 enforced.",
            ),
        class("principal.builder.class")
            .default("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder")
            .per_broker()
            .no_effect(reason::NO_AUTHORIZER)
            .doc("Java class that derives a principal from a connection."),
        string("security.providers")
            .low()
            .no_effect(reason::JVM)
            .doc("Java security providers."),
        list("config.providers")
            .default("")
            .low()
            .cluster_wide()
            .refused_unless_default(reason::NO_PROVIDERS)
            .doc("Names of Java classes that fetch configuration values from elsewhere."),
        list("sasl.enabled.mechanisms")
            .default("GSSAPI")
            .per_broker()
            .no_effect(reason::NO_SASL)
            .doc("SASL mechanisms of the listeners that authenticate."),
        password("sasl.jaas.config")
            .per_broker()
            .no_effect(reason::NO_SASL)
            .doc("JAAS login of a SASL listener."),
        string("sasl.mechanism.inter.broker.protocol")
            .default("GSSAPI")
            .per_broker()
            .no_effect(reason::NO_SASL)
            .doc("SASL mechanism between brokers."),
        string("sasl.mechanism.controller.protocol")
            .default("GSSAPI")
            .high()
            .no_effect(reason::NO_SASL)
            .doc("SASL mechanism towards controllers."),
        class("sasl.server.callback.handler.class")
            .no_effect(reason::NO_SASL)
            .doc("Java class that checks SASL credentials."),
        int("sasl.server.max.receive.size")
            .default("524288")
            .bytes()
            .no_effect(reason::NO_SASL)
            .doc("Largest message during SASL authentication."),
        string("ssl.client.auth")
            .default("none")
            .one_of(&["required", "requested", "none"])
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Whether clients must show a certificate."),
        list("ssl.cipher.suites")
            .default("")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Cipher suites."),
        list("ssl.enabled.protocols")
            .default("TLSv1.2,TLSv1.3")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("TLS versions."),
        string("ssl.protocol")
            .default("TLSv1.3")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("TLS version to offer first."),
        string("ssl.provider")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Java provider of TLS."),
        string("ssl.endpoint.identification.algorithm")
            .default("https")
            .low()
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("How host names are checked against certificates."),
        string("ssl.principal.mapping.rules")
            .default("DEFAULT")
            .low()
            .no_effect(reason::NO_TLS)
            .doc("Rules that turn a certificate's name into a principal."),
        string("ssl.keystore.type")
            .default("JKS")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Format of the key store."),
        string("ssl.keystore.location")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("File of the key store."),
        password("ssl.keystore.password")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Password of the key store."),
        password("ssl.keystore.key")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Private key in PEM."),
        password("ssl.keystore.certificate.chain")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Certificate chain in PEM."),
        password("ssl.key.password")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Password of the private key."),
        string("ssl.truststore.type")
            .default("JKS")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Format of the trust store."),
        string("ssl.truststore.location")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("File of the trust store."),
        password("ssl.truststore.password")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Password of the trust store."),
        password("ssl.truststore.certificates")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Trusted certificates in PEM."),
        string("ssl.keymanager.algorithm")
            .default("SunX509")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Java key manager."),
        string("ssl.trustmanager.algorithm")
            .default("PKIX")
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Java trust manager."),
        string("ssl.secure.random.implementation")
            .low()
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Java source of randomness."),
        class("ssl.engine.factory.class")
            .low()
            .per_broker()
            .no_effect(reason::NO_TLS)
            .doc("Java class that makes TLS engines."),
        boolean("ssl.allow.dn.changes")
            .default("false")
            .low()
            .no_effect(reason::NO_TLS)
            .doc("Allow a new certificate with another distinguished name."),
        boolean("ssl.allow.san.changes")
            .default("false")
            .low()
            .no_effect(reason::NO_TLS)
            .doc("Allow a new certificate with other alternative names."),
        password("delegation.token.secret.key")
            .no_effect(reason::NO_SASL)
            .doc("Key that signs delegation tokens."),
        long("delegation.token.max.lifetime.ms")
            .default("604800000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SASL)
            .doc("Longest life of a delegation token."),
        long("delegation.token.expiry.time.ms")
            .default("86400000")
            .at_least(1)
            .ms()
            .no_effect(reason::NO_SASL)
            .doc("Time after which a delegation token must be renewed."),
        long("delegation.token.expiry.check.interval.ms")
            .default("3600000")
            .at_least(1)
            .ms()
            .low()
            .no_effect(reason::NO_SASL)
            .doc("How often expired delegation tokens are removed."),
    ],
};
