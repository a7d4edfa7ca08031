//! A Galera cluster: three servers, each of which takes writes.

use std::path::Path;

use super::network::{Link, LinkState, Network};
use super::server::{ask, begin, give, install, options};
use crate::environment::mariadb;
use crate::{Dir, Server, free_ports};

/// How many servers there are. Server N has the address 127.0.0.N.
const SERVERS: u8 = 3;
/// Whom they run as: as root, the program that copies data from one to another would do that as nobody.
const USER: &str = "mysql";
const LIBRARY: &str = "/usr/lib/libgalera_smm.so";
/// Where networks are cut: a server that is not heard of is gone after a second or three, instead of five or fifteen.
const SOON_MISSED: &str = ";evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1S;evs.inactive_check_period=PT0.3S;evs.inactive_timeout=PT3S;gmcast.peer_timeout=PT1S";
/// What a server says once it has what the others have.
const SYNCED: &str = "Synchronized with group, ready for connections";

/// A running cluster with an empty database `wiki`, and a user `wiki` of it with the password [`super::MariaDb::PASSWORD`].
#[derive(Debug)]
pub struct Galera {
    members: Vec<Member>,
    ports: Ports,
    // After the servers: it goes when they have.
    network: Option<Network>,
}

/// One of its servers.
#[derive(Debug)]
struct Member {
    // Before the folder: dropped, it writes into it no longer.
    server: Option<Server>,
    dir: Dir,
    number: u8,
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
        Self::start_in(SERVERS, None).await
    }

    /// Starts one of a single server: what is said to it is handled as in a large one.
    ///
    /// # Panics
    /// If it is installed and cannot be started.
    pub async fn start_alone() -> Option<Self> {
        Self::start_in(1, None).await
    }

    /// Starts one whose servers have networks of their own, where those may be made.
    ///
    /// # Panics
    /// If it could be started and cannot.
    pub async fn start_apart() -> Option<Self> {
        mariadb()?;
        let network = Network::make(SERVERS)?;
        Self::start_in(SERVERS, Some(network)).await
    }

    async fn start_in(servers: u8, network: Option<Network>) -> Option<Self> {
        mariadb()?;
        let free = free_ports();
        let ports = Ports {
            clients: free.intake,
            group: free.public,
            transfers: [free.control, free.demo],
        };
        let member = |number| Member { server: None, dir: Dir::new(), number };
        let mut cluster = Self { members: (1..=servers).map(member).collect(), ports, network };
        for number in 0..usize::from(servers) {
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
        cluster.run(0, &begin(clients(cluster.network.as_ref())));
        Some(cluster)
    }

    fn member(&self, number: usize) -> &Member {
        self.members.get(number).expect("there are three")
    }

    async fn start_server(&mut self, number: usize, more: &[&str]) {
        let program = mariadb().expect("it is installed");
        let options = self.options(number);
        let program = program.to_str().expect("a path");
        let namespace = self.network.as_ref().map(|network| {
            let name = network.namespace(self.member(number).number);
            ["netns".to_owned(), "exec".to_owned(), name, program.to_owned()]
        });
        let within = namespace.iter().flatten().map(String::as_str);
        let options = options.iter().map(String::as_str);
        let words: Vec<&str> = within.chain(options).chain(more.iter().copied()).collect();
        let program = if namespace.is_some() { "ip" } else { program };
        let mut server = Server::start(Path::new(program), &words);
        server.wait_for(SYNCED).await;
        self.members.get_mut(number).expect("there are three").server = Some(server);
    }

    fn options(&self, number: usize) -> Vec<String> {
        let Ports { clients, group, transfers: [missed, all] } = self.ports;
        let Member { dir, number, .. } = self.member(number);
        let address = self.group_address(*number);
        let bind = if self.network.is_some() { "0.0.0.0" } else { &address };
        let mut options = options(dir, (bind, clients), USER);
        let members =
            self.members.iter().map(|each| format!("{}:{group}", self.group_address(each.number)));
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
                "--wsrep-provider-options=gmcast.listen_addr=tcp://{address}:{group};ist.recv_addr={address}:{missed};gcache.size=64M{}",
                if self.network.is_some() { SOON_MISSED } else { "" }
            ),
        ]);
        options
    }

    /// The address of a server, without the password.
    pub fn url(&self, number: usize) -> String {
        self.url_of(number, "wiki")
    }

    fn url_of(&self, number: usize, database: &str) -> String {
        let number = self.member(number).number;
        let port = self.ports.clients;
        match &self.network {
            None => format!("mariadb://wiki@127.0.0.{number}:{port}/{database}"),
            // It is this machine all the same.
            Some(network) => {
                let address = network.client_address(number);
                format!("mariadb://wiki@{address}:{port}/{database}?ssl-mode=disabled")
            }
        }
    }

    /// Makes an empty database that the user `wiki` has; returns its address at a server.
    pub fn create(&self, number: usize, name: &str) -> String {
        let clients = clients(self.network.as_ref());
        self.run(
            number,
            &format!("CREATE DATABASE {name}; GRANT ALL ON {name}.* TO wiki@'{clients}';"),
        );
        self.url_of(number, name)
    }

    fn group_address(&self, number: u8) -> String {
        match &self.network {
            None => format!("127.0.0.{number}"),
            Some(_) => Network::group_address(number),
        }
    }

    /// Cuts a link of a server, or mends it.
    ///
    /// # Panics
    /// If the servers have no networks of their own.
    pub fn set_link(&self, link: Link, number: usize, state: LinkState) {
        let network = self.network.as_ref().expect("networks of their own");
        network.set_link(link, self.member(number).number, state);
    }

    /// What a server says of itself, without waiting for the others: `Primary` while it is one of most of them.
    pub fn status(&self, number: usize) -> String {
        let sql = "SHOW STATUS LIKE 'wsrep_cluster_status';";
        let rows = ask(&self.member(number).dir, "mysql", sql);
        let row = rows.lines().nth(1).unwrap_or_default();
        row.split('\t').nth(1).unwrap_or_default().to_owned()
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

/// From where clients come.
const fn clients(network: Option<&Network>) -> &'static str {
    if network.is_some() { "10.77.%" } else { "127.0.0.%" }
}
