//! The session store on a real Cassandra: four nodes in two data centres, of which some are killed, and one that asks who we are.
//!
//! One test, because the nodes take a while to start: each part goes on with what the one before has left.
#![cfg(test)]

mod contract;
mod deletes;
mod faults;
mod load;
mod reference;
mod secured;
mod server;

use std::path::PathBuf;

use reveille_model::Duration;
use reveille_store_cassandra::{CassandraSettings, DeleteAnswer, migrate};
use reveille_testkit::{Cassandra, needs_all};

const KEYSPACE: &str = "kask";

/// How it is asked from a data centre.
fn settings(cassandra: &Cassandra, dc: &str) -> CassandraSettings {
    let port = cassandra.port();
    let hosts = cassandra.addresses(dc).into_iter().map(|address| format!("{address}:{port}"));
    CassandraSettings {
        hosts: hosts.collect(),
        keyspace: KEYSPACE.to_owned(),
        table: "values".to_owned(),
        dc: Some(dc.to_owned()),
        login: None,
        tls: None,
        delete_answer: DeleteAnswer::EachQuorum,
        query_timeout: Duration::from_ms(2_000),
        connect_timeout: Duration::from_ms(5_000),
        speculative_after: None,
    }
}

/// A file of ours.
fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_reveille"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_cassandra() {
    reveille_testkit::install_crypto();
    let Some(mut cassandra) = Cassandra::start().await else {
        println!("{}", needs_all("sessions on Cassandra"));
        return;
    };
    let missing =
        reveille_store_cassandra::CassandraSessions::open(settings(&cassandra, "dc1")).await;
    assert!(missing.unwrap_err().to_string().contains("reveille migrate"));
    reference::command_line(&cassandra).await;
    // Again, with nothing left to make.
    migrate(&settings(&cassandra, "dc1"), &Vec::new()).await.unwrap();
    contract::keeps(&cassandra).await;
    reference::side_by_side(&cassandra).await;
    faults::node_is_killed(&mut cassandra).await;
    faults::node_hangs(&mut cassandra).await;
    deletes::data_center_is_away(&mut cassandra).await;
    drop(cassandra);
    secured::only_who_is_known().await;
}
