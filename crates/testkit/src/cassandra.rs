//! A real Apache Cassandra: four nodes in two data centres, or a single one that wants TLS and a password.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::environment::cassandra;
use crate::{Dir, Server, free_port, free_ports};

/// The numbers of the nodes, each with its data centre. Node N has the address 127.0.0.N.
const NODES: [(u8, &str); 4] = [(1, "dc1"), (2, "dc1"), (3, "dc1"), (4, "dc2")];

const TEMPLATE: &str = include_str!("cassandra.yaml");

/// What a node that wants TLS and a password has besides.
const SECURITY: &str = "
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  keystore: <folder>/server.both
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
";

/// To standard output. Only a line for debugging says that the tokens of a peer are known.
const LOGBACK: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <logger name="org.apache.cassandra.service.StorageService" level="DEBUG"/>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"#;

/// What Cassandra says once clients can connect; `Starting listening` comes before.
const LISTENS: &str = "Startup complete";
/// What it says once the user `cassandra` is there.
const HAS_USER: &str = "Created default superuser role";

/// Options of Java: little memory, a quick start.
const JAVA: [&str; 19] = [
    "-Xms128M",
    "-Xmx384M",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dcassandra-foreground=yes",
    // The page cache outlives a killed process, and nobody cuts the power.
    "-Dcassandra.skip_sync=true",
    // Measured at each start otherwise, for two seconds.
    "-Dcassandra.memtable.row_overhead_size=180",
    "-Dcassandra.ring_delay_ms=2000",
    // Twice that otherwise, and a node that is half as long in joining is forgotten.
    "-Dcassandra.gossip_quarantine_delay_ms=60000",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=1000",
    "-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4",
    // A dead node is noticed within 6 to 10 s instead of 13 to 19 s.
    "-Dcassandra.fd_initial_value_ms=500",
    "-Dcassandra.fd_max_interval_ms=1000",
    "-Djdk.attach.allowAttachSelf=true",
];

/// Parts of Java that Cassandra reaches into, as its own start script does.
const EXPORTS: [&str; 7] = [
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];
const OPENS: [&str; 14] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// A running cluster. Its nodes are 1, 2 and 3 in the data centre `dc1` and 4 in `dc2`.
#[derive(Debug)]
pub struct Cassandra {
    // Before the folder: dropped, they write into it no longer.
    nodes: Vec<Node>,
    files: Files,
}

#[derive(Debug)]
struct Node {
    number: u8,
    server: Server,
    is_up: bool,
    /// Who was up when this one went, each with the length of its log then.
    witnesses: Vec<(u8, usize)>,
}

/// What a cluster is started from.
#[derive(Debug)]
struct Files {
    dir: Dir,
    jars: PathBuf,
    port: u16,
    storage_port: u16,
}

impl Cassandra {
    /// Who may connect to a secured one.
    pub const USER: &str = "cassandra";
    /// The password of its user.
    pub const PASSWORD: &str = "cassandra";

    /// Starts four nodes that let everybody in, where Cassandra is set up.
    ///
    /// # Panics
    /// If it is set up and cannot be started.
    pub async fn start() -> Option<Self> {
        Some(Self::start_nodes(Files::new(cassandra()?.into()), &NODES, "").await)
    }

    /// Starts node 1 alone, which lets everybody in.
    ///
    /// # Panics
    /// If it is set up and cannot be started.
    pub async fn start_one() -> Option<Self> {
        Some(Self::start_nodes(Files::new(cassandra()?.into()), &[(1, "dc1")], "").await)
    }

    /// Starts node 1 alone. It wants TLS, and its user with the password.
    ///
    /// # Panics
    /// If it is set up and cannot be started.
    pub async fn start_secured() -> Option<Self> {
        let files = Files::new(cassandra()?.into());
        // The sandbox makes an authority and a certificate for 127.0.0.1.
        reveille_sandbox::init(&files.authority_dir(), free_ports(), 1).expect("a certificate");
        let [certificate, key] = ["server.pem", "server.key"]
            .map(|name| std::fs::read_to_string(files.authority_dir().join(name)).expect(name));
        write(&files.dir.join("server.both"), &(key + &certificate));
        let mut started = Self::start_nodes(files, &[(1, "dc1")], SECURITY).await;
        started.node(1).server.wait_for(HAS_USER).await;
        Some(started)
    }

    async fn start_nodes(files: Files, nodes: &[(u8, &str)], security: &str) -> Self {
        files.write(nodes, security);
        let start = |&(number, _): &(u8, &str)| Node {
            number,
            server: files.start(number),
            is_up: true,
            witnesses: Vec::new(),
        };
        let mut started = Self { nodes: nodes.iter().map(start).collect(), files };
        for (number, _) in nodes {
            let peers = started.living_peers(*number);
            let server = &mut started.node(*number).server;
            server.wait_for(LISTENS).await;
            for peer in peers {
                // It is up before it says which tokens are its own, and gets no writes until then.
                server.wait_for(&format!("New node {peer} at token")).await;
                server.wait_for(&is_now(&peer, "UP")).await;
            }
        }
        started
    }

    /// The port for clients, the same at each address.
    pub fn port(&self) -> u16 {
        self.files.port
    }

    /// The addresses of the nodes in a data centre.
    pub fn addresses(&self, data_center: &str) -> Vec<String> {
        let nodes = NODES.iter().take(self.nodes.len());
        nodes.filter(|(_, its)| *its == data_center).map(|(number, _)| address(*number)).collect()
    }

    /// The certificate of the authority that a secured one is checked against, in PEM.
    pub fn authority_file(&self) -> PathBuf {
        self.files.authority_dir().join("ca.pem")
    }

    /// `kill -9`.
    pub fn kill(&mut self, number: u8) {
        self.leave(number).server.kill();
    }

    /// SIGTERM, and waits for the end: it tells its peers and takes its time.
    pub async fn stop(&mut self, number: u8) {
        let node = self.leave(number);
        node.server.signal("TERM");
        node.server.wait_for_end().await;
    }

    /// SIGSTOP: it holds its connections and answers nothing.
    pub fn pause(&mut self, number: u8) {
        self.leave(number).server.signal("STOP");
    }

    /// SIGCONT. Waits until those who noticed the pause see it again.
    pub async fn go_on(&mut self, number: u8) {
        let address = self.files.storage_address(number);
        let (down, up) = (is_now(&address, "DOWN"), is_now(&address, "UP"));
        let node = self.node(number);
        node.is_up = true;
        node.server.signal("CONT");
        for (server, length) in self.witnesses(number) {
            if let Some(noticed) = server.find_after(length, &down) {
                server.wait_for_after(noticed, &up).await;
            }
        }
    }

    /// Waits until those who were up when a node went, and still are, take it for dead.
    pub async fn wait_until_noticed(&mut self, number: u8) {
        let down = is_now(&self.files.storage_address(number), "DOWN");
        for (server, length) in self.witnesses(number) {
            server.wait_for_after(length, &down).await;
        }
    }

    /// Starts a node again, killed before if it runs. Waits until clients can connect, and it and its living peers see each other.
    pub async fn restart(&mut self, number: u8) {
        // It knows its peers by heart, and a dead one is no news to it.
        self.nodes.iter_mut().for_each(|peer| peer.witnesses.retain(|(each, _)| *each != number));
        self.kill(number);
        let mut server = self.files.start(number);
        server.wait_for(LISTENS).await;
        let up = is_now(&self.files.storage_address(number), "UP");
        for peer in self.living_peers(number) {
            server.wait_for(&is_now(&peer, "UP")).await;
        }
        for (witness, length) in self.witnesses(number) {
            witness.wait_for_after(length, &up).await;
        }
        let node = self.node(number);
        node.server = server;
        node.is_up = true;
    }

    /// A node that is about to go.
    fn leave(&mut self, number: u8) -> &mut Node {
        let up = self.nodes.iter().filter(|peer| peer.is_up && peer.number != number);
        let witnesses = up.map(|peer| (peer.number, peer.server.line_count())).collect();
        let node = self.node(number);
        node.is_up = false;
        node.witnesses = witnesses;
        node
    }

    /// The living who saw a node go, each with the length of its log then.
    fn witnesses(&mut self, number: u8) -> impl Iterator<Item = (&mut Server, usize)> {
        let witnesses = self.node(number).witnesses.clone();
        self.nodes.iter_mut().filter(|peer| peer.is_up).filter_map(move |peer| {
            let (_, length) = witnesses.iter().find(|(each, _)| *each == peer.number)?;
            Some((&mut peer.server, *length))
        })
    }

    /// What the other nodes that are up are called.
    fn living_peers(&self, number: u8) -> Vec<String> {
        let up = self.nodes.iter().filter(|peer| peer.is_up && peer.number != number);
        up.map(|peer| self.files.storage_address(peer.number)).collect()
    }

    fn node(&mut self, number: u8) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.number == number).expect("a node of this cluster")
    }
}

impl Files {
    fn new(jars: PathBuf) -> Self {
        Self { dir: Dir::new(), jars, port: free_port_of_all(), storage_port: free_port_of_all() }
    }

    fn authority_dir(&self) -> PathBuf {
        self.dir.join("authority")
    }

    fn node_dir(&self, number: u8) -> PathBuf {
        self.dir.join(&format!("node{number}"))
    }

    /// What nodes call each other.
    fn storage_address(&self, number: u8) -> String {
        format!("/{}:{}", address(number), self.storage_port)
    }

    fn write(&self, nodes: &[(u8, &str)], security: &str) {
        write(&self.dir.join("logback.xml"), LOGBACK);
        let seed = |(number, _): &(u8, &str)| format!("{}:{}", address(*number), self.storage_port);
        let seeds = nodes.iter().map(seed).collect::<Vec<_>>().join(",");
        for (number, data_center) in nodes {
            let dir = self.node_dir(*number);
            std::fs::create_dir_all(dir.join("tmp")).expect("a folder");
            // Each holds a quarter of the ring.
            let token = (i64::from(*number) - 3) * (1 << 62);
            let yaml = (TEMPLATE.to_owned() + security)
                .replace("<token>", &token.to_string())
                .replace("<address>", &address(*number))
                .replace("<port>", &self.port.to_string())
                .replace("<storage_port>", &self.storage_port.to_string())
                .replace("<seeds>", &seeds)
                .replace("<folder>", &self.dir.path().display().to_string());
            write(&dir.join("cassandra.yaml"), &yaml);
            write(&dir.join("rack.properties"), &format!("dc={data_center}\nrack=rack1\n"));
        }
    }

    fn start(&self, number: u8) -> Server {
        let (dir, shared) = (self.node_dir(number), self.dir.path().display());
        let node = dir.display();
        let mut arguments: Vec<String> = JAVA.map(str::to_owned).into();
        arguments.extend(EXPORTS.map(|each| format!("--add-exports={each}=ALL-UNNAMED")));
        arguments.extend(OPENS.map(|each| format!("--add-opens={each}=ALL-UNNAMED")));
        arguments.extend([
            format!("-Dlogback.configurationFile={shared}/logback.xml"),
            format!("-Dcassandra.config=file:{node}/cassandra.yaml"),
            format!("-Dcassandra-rackdc.properties=file:{node}/rack.properties"),
            format!("-Dcassandra.storagedir={node}"),
            // Unpacked libraries, which a killed process leaves behind.
            format!("-Djava.io.tmpdir={node}/tmp"),
            format!("-Djna.tmpdir={node}/tmp"),
            "-cp".to_owned(),
            format!("{}/*", self.jars.display()),
            "org.apache.cassandra.service.CassandraDaemon".to_owned(),
        ]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Server::start(Path::new("java"), &arguments)
    }
}

fn address(number: u8) -> String {
    format!("127.0.0.{number}")
}

/// What a node says of a peer.
fn is_now(storage_address: &str, state: &str) -> String {
    format!("{storage_address} is now {state}")
}

/// A port nobody listens at now, at the address of any node.
fn free_port_of_all() -> u16 {
    let is_free = |port: u16| {
        let free = |(number, _): &(u8, &str)| TcpListener::bind((address(*number), port)).is_ok();
        NODES.iter().all(free)
    };
    std::iter::repeat_with(free_port).find(|port| is_free(*port)).expect("a free port")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file of Cassandra");
}
