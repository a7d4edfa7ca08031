//! Connecting: which nodes, how they are known, and how long anything may take.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::policies::timestamp_generator::TimestampGenerator;
use scylla::statement::{Consistency, SerialConsistency};

use crate::CassandraError;
use crate::retry::OnceElsewhere;
use crate::second::Elsewhere;
use crate::settings::{CassandraSettings, Tls};

/// Connections to each node, as many as the reference has. Each carries thousands of queries at once.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How often an idle connection is asked whether it is still there, and how long an answer may take.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Connecting asks several things, of which each may take as long as a connection.
const TRIES: u32 = 2;

/// Connects. Queries prefer the nodes of our data centre that have the key, and never leave it.
pub(crate) async fn connect(
    settings: &CassandraSettings,
    timestamps: Arc<dyn TimestampGenerator>,
) -> Result<Session, CassandraError> {
    let nodes = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    let nodes = match &settings.dc {
        Some(dc) => nodes.prefer_datacenter(dc.clone()),
        None => nodes,
    };
    let speculative = settings.speculative_after.map(|after| {
        let policy =
            SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: after.to_std() };
        Arc::new(policy) as Arc<_>
    });
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(settings.query_timeout.to_std()))
        .load_balancing_policy(Arc::new(Elsewhere(nodes.build())))
        .retry_policy(Arc::new(OnceElsewhere))
        .speculative_execution_policy(speculative)
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.hosts)
        .connection_timeout(settings.connect_timeout.to_std())
        .pool_size(PoolSize::PerHost(CONNECTIONS))
        .timestamp_generator(timestamps)
        // Without the keyspace nobody knows which nodes have a key.
        .keyspaces_to_fetch([&settings.keyspace])
        .fetch_full_schema_metadata(false)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .default_execution_profile_handle(profile.into_handle());
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(Arc::new(client(tls).map_err(CassandraError::Tls)?)));
    }
    if let Some((name, password)) = &settings.login {
        builder = builder.user(name, password);
    }
    let longest = settings.connect_timeout.to_std() * TRIES;
    let built = tokio::time::timeout(longest, builder.build()).await;
    let session = built.map_err(|_| CassandraError::TimedOut(longest.as_secs()))??;
    if settings.dc.is_none() {
        let state = session.get_cluster_state();
        let centers = state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref());
        let centers: BTreeSet<&str> = centers.collect();
        if centers.len() > 1 {
            tracing::warn!(
                ?centers,
                "there are several data centres and none is set (dc=…): what is written in one may not be read at once in another"
            );
        }
    }
    Ok(session)
}

/// Nodes' certificates are verified against the authority, with the address each was reached at.
fn client(tls: &Tls) -> Result<ClientConfig, String> {
    let at = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        format!("{}: {error}", path.display())
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(&tls.ca_file).map_err(|error| at(&tls.ca_file, &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| at(&tls.ca_file, &error))?;
        roots.add(certificate).map_err(|error| at(&tls.ca_file, &error))?;
    }
    if roots.is_empty() {
        return Err(at(&tls.ca_file, &"it holds no certificate"));
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    match &tls.identity {
        None => Ok(config.with_no_client_auth()),
        Some((cert, key)) => {
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
                .and_then(Iterator::collect)
                .map_err(|error| at(cert, &error))?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| at(key, &error))?;
            config.with_client_auth_cert(chain, key_der).map_err(|error| at(cert, &error))
        }
    }
}
