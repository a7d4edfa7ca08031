//! What is not moved, and the way back.

use reveille_store::Subscriptions as _;
use reveille_store_mariadb::MariaDbError;
use reveille_store_sqlite::OpenError;

use crate::rig::{Keys, Rig, errors};
use crate::scene::{register, user};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_stays_as_it_was() {
    let Some(rig) = Rig::start(Keys::One).await else { return };
    assert!(errors(&rig.run(&[])).contains("cannot open the store"));
    assert!(!rig.file().exists(), "nothing is made where nothing was");
    let store = rig.open_file(&rig.file()).unwrap();
    register(&store, "ann", 3).await;
    assert!(errors(&rig.run(&[])).contains("another reveille process is using this database"));
    store.close();
    assert!(errors(&rig.run(&[])).contains("reveille migrate"));
    rig.migrate();
    // A server runs there.
    let other = rig.open_database().await.unwrap();
    assert!(errors(&rig.run(&[])).contains("1 servers are running"));
    register(&other, "bea", 6).await;
    other.close().await;
    assert!(errors(&rig.run(&[])).contains("not empty"));
    let store = rig.open_file(&rig.file()).unwrap();
    assert_eq!(store.list(&user("ann")).await.unwrap().len(), 1, "it goes on as before");
    store.close();

    rig.database.run("DELETE FROM subscriptions;");
    // As if it was killed when all that was left to do was to say so.
    rig.database.run(
        "CREATE TRIGGER stop BEFORE UPDATE ON moves FOR EACH ROW SET NEW.state = IF(NEW.state = 2, NULL, NEW.state);",
    );
    assert!(errors(&rig.run(&[])).contains("database"));
    assert!(matches!(rig.open_file(&rig.file()), Err(OpenError::Moved)));
    assert!(matches!(rig.open_database().await, Err(MariaDbError::Moving)), "nobody has it now");
    rig.database.run("DROP TRIGGER stop;");
    let done = rig.run(&[]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("1 subscriptions") && said.contains("verified"), "{said}");
    let again = rig.run(&[]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("had been moved before"), "{again:?}");
    let after = rig.open_database().await.unwrap();
    assert_eq!(after.list(&user("ann")).await.unwrap().len(), 1);
    after.close().await;

    // The way back.
    assert!(rig.open_file(&rig.file()).is_err());
    assert!(rig.take_back().status.success());
    rig.open_file(&rig.file()).unwrap().close();
    assert!(errors(&rig.run(&[])).contains("another store was moved"));
    rig.open_file(&rig.file()).unwrap().close();
}
