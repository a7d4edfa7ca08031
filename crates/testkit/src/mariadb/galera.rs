//! A Galera cluster: three servers, each of which takes writes.

use std::path::Path;

use super::server::{ask, begin, give, install, options};
use crate::environment::mariadb;
use crate::{Dir, Server, free_ports};

/// How many servers there are. Server N has the address 127.0.0.N.
const SERVERS: u8 = 3;
/// Whom they run as: as root, the program that copies data from one to another would do that as nobody.
const USER: &str = "mysql";
const LIBRARY: &str = "/usr/lib/libgalera_smm.so";
/// What a server says once it has what the others have.
const SYNCED: &str = "Synchronized with group, ready for connections";

/// A running cluster with an empty database `wiki`, and a user `wiki` of it with the password [`super::MariaDb::PASSWORD`].
#[derive(Debug)]
pub struct Galera {
    members: Vec<Member>,
    ports: Ports,
}

/// One of its servers.
#[derive(Debug)]
struct Member {
    // Before the folder: dropped, it writes into it no longer.
    server: Option<Server>,
    dir: Dir,
    address: String,
}

/// The same at each address.
#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    group: u16,
    /// For what a server has missed, and for all of it.
    transfers: [u16; 2],
}

impl Galera {
    /// Starts one, where `MariaDB` is installed.
    ///
    /// # Panics
    /// If it is installed and cannot be started.
    pub async fn start() -> Option<Self> {
        mariadb()?;
        let free = free_ports();
        let ports = Ports {
            clients: free.intake,
            group: free.public,
            transfers: [free.control, free.demo],
        };
        let member =
            |number| Member { server: None, dir: Dir::new(), address: format!("127.0.0.{number}") };
        let mut cluster = Self { members: (1..=SERVERS).map(member).collect(), ports };
        for number in 0..usize::from(SERVERS) {
            let dir = &cluster.member(number).dir;
            give(dir.path(), USER);
            if number == 0 {
                install(dir, USER);
            } else {
                // The first one's data come.
                std::fs::create_dir(dir.join("data")).expect("a folder");
            }
            give(dir.path(), USER);
            let first: &[&str] = if number == 0 { &["--wsrep-new-cluster"] } else { &[] };
            cluster.start_server(number, first).await;
        }
        cluster.run(0, &begin("127.0.0.%"));
        Some(cluster)
    }

    fn member(&self, number: usize) -> &Member {
        self.members.get(number).expect("there are three")
    }

    async fn start_server(&mut self, number: usize, more: &[&str]) {
        let program = mariadb().expect("it is installed");
        let options = self.options(number);
        let words: Vec<&str> =
            options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut server = Server::start(Path::new(&program), &words);
        server.wait_for(SYNCED).await;
        self.members.get_mut(number).expect("there are three").server = Some(server);
    }

    fn options(&self, number: usize) -> Vec<String> {
        let Ports { clients, group, transfers: [missed, all] } = self.ports;
        let Member { dir, address, .. } = self.member(number);
        let mut options = options(dir, (address, clients), USER);
        let members = self.members.iter().map(|each| format!("{}:{group}", each.address));
        let members: Vec<String> = members.collect();
        options.extend([
            "--innodb-log-file-size=16M".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={LIBRARY}"),
            format!("--wsrep-cluster-address=gcomm://{}", members.join(",")),
            format!("--wsrep-node-address={address}"),
            "--wsrep-sst-method=rsync".to_owned(),
            format!("--wsrep-sst-receive-address={address}:{all}"),
            format!(
                "--wsrep-provider-options=gmcast.listen_addr=tcp://{address}:{group};ist.recv_addr={address}:{missed};gcache.size=64M"
            ),
        ]);
        options
    }

    /// The address of a server, without the password.
    pub fn url(&self, number: usize) -> String {
        format!("mariadb://wiki@{}:{}/wiki", self.member(number).address, self.ports.clients)
    }

    /// Runs statements in the database `wiki` of a server, once it has what the others have.
    pub fn run(&self, number: usize, sql: &str) -> String {
        let database = if sql.contains("CREATE DATABASE") { "mysql" } else { "wiki" };
        ask(&self.member(number).dir, database, &format!("SET SESSION wsrep_sync_wait = 7; {sql}"))
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self, number: usize) {
        let member = self.members.get_mut(number).expect("there are three");
        member.server.take().expect("it runs").kill();
    }

    /// Starts a server that was killed; it comes back to the others, and gets what it has missed.
    pub async fn start_again(&mut self, number: usize) {
        self.start_server(number, &[]).await;
    }
}
