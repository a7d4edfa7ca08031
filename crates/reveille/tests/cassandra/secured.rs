//! A node that wants TLS and a password.

use reveille_store::Sessions as _;
use reveille_store_cassandra::{CassandraSessions, CassandraSettings, Tls, migrate};
use reveille_testkit::{Cassandra, Dir};

use crate::settings;

async fn refusal(settings: CassandraSettings) -> String {
    CassandraSessions::open(settings).await.expect_err("it is refused").to_string()
}

pub(crate) async fn only_who_is_known() {
    let cassandra = Cassandra::start_secured().await.expect("one was started before");
    let login = Some((Cassandra::USER.to_owned(), Cassandra::PASSWORD.to_owned()));
    let tls = Some(Tls { ca_file: cassandra.authority_file(), identity: None });
    let mut settings = settings(&cassandra, "dc1");
    (settings.login, settings.tls) = (login.clone(), tls.clone());
    migrate(&settings, &vec![("dc1".to_owned(), 1)]).await.unwrap();
    let store = CassandraSessions::open(settings.clone()).await.unwrap();
    store.ready().await.unwrap();

    let wrong = Some((Cassandra::USER.to_owned(), "wrong-password-1".to_owned()));
    let what = refusal(CassandraSettings { login: wrong, ..settings.clone() }).await;
    assert!(!what.contains("wrong-password-1"), "{what}");
    refusal(CassandraSettings { login: None, ..settings.clone() }).await;
    refusal(CassandraSettings { tls: None, ..settings.clone() }).await;
    // The reference takes any certificate.
    let dir = Dir::new();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(dir.join("other.pem"), other.cert.pem()).unwrap();
    let stranger = Some(Tls { ca_file: dir.join("other.pem"), identity: None });
    refusal(CassandraSettings { tls: stranger, ..settings.clone() }).await;
    let none = Some(Tls { ca_file: dir.join("none.pem"), identity: None });
    assert!(refusal(CassandraSettings { tls: none, ..settings }).await.contains("none.pem"));
}
