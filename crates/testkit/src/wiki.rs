//! A real `MediaWiki` with people in it, on a database and port of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::Method;
use http::header::SET_COOKIE;
use serde_json::Value;

use crate::{Answer, Client, Dir, Server, free_port, mediawiki};

/// Its people beside Admin.
const PEOPLE: [&str; 2] = ["Alice", "Bob"];

/// A change of settings counts at once.
const FRESH: [&str; 2] = ["-d", "opcache.revalidate_freq=0"];

/// A running wiki, `testwiki`. Its people are Admin, Alice (number 3) and Bob (number 4).
#[derive(Debug)]
pub struct RealWiki {
    /// The address of its `api.php`.
    pub api: String,
    client: Client,
    server: Option<Server>,
    dir: Dir,
    port: u16,
}

/// Somebody at a wiki, by their cookies.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    /// What their browser sends.
    pub cookies: String,
}

impl RealWiki {
    /// The password of everybody.
    pub const PASSWORD: &str = "correct horse battery";

    /// Starts one, where a `MediaWiki` is installed.
    ///
    /// # Panics
    /// If it is installed and cannot be started.
    pub async fn start() -> Option<Self> {
        let folder = mediawiki()?;
        let folder = Path::new(&folder);
        let (dir, port) = (Dir::new(), free_port());
        for each in ["settings", "data", "root"] {
            std::fs::create_dir(dir.join(each)).expect("a folder");
        }
        std::os::unix::fs::symlink(folder, dir.join("root/w")).expect("a link");
        let text = |path: &str| dir.join(path).display().to_string();
        let (settings, data) = (text("settings"), text("data"));
        let server = format!("http://127.0.0.1:{port}");
        let install = folder.join("maintenance/install.php");
        let arguments = [
            "--confpath",
            &settings,
            "--dbtype",
            "sqlite",
            "--dbpath",
            &data,
            "--dbname",
            "testwiki",
            "--scriptpath",
            "/w",
            "--server",
            &server,
            "--lang",
            "en",
            "--pass",
            Self::PASSWORD,
            "testwiki",
            "Admin",
        ];
        let wiki = Self {
            api: format!("{server}/w/api.php"),
            client: Client::new(&server),
            server: None,
            dir,
            port,
        };
        wiki.php(&install, &arguments);
        let more = "\nrequire __DIR__ . '/more.php';\n";
        let path = wiki.dir.join("settings/LocalSettings.php");
        let written = std::fs::read_to_string(&path).expect("settings");
        std::fs::write(&path, written + more).expect("settings");
        wiki.set("");
        for name in PEOPLE {
            let create = folder.join("maintenance/createAndPromote.php");
            wiki.php(&create, &[name, Self::PASSWORD]);
        }
        let wiki = Self { server: Some(wiki.serve().await), ..wiki };
        Some(wiki)
    }

    async fn serve(&self) -> Server {
        let (address, root) = (format!("127.0.0.1:{}", self.port), self.dir.join("root"));
        let (root, settings) = (root.display().to_string(), self.settings());
        let environment = [("MW_CONFIG_FILE", settings.as_str())];
        let mut server = Server::start_with(
            Path::new("php"),
            &[FRESH[0], FRESH[1], "-S", &address, "-t", &root],
            &environment,
        );
        server.wait_for("started").await;
        server
    }

    /// Its proxy answers no more.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// It is back.
    pub async fn start_again(&mut self) {
        self.server = Some(self.serve().await);
    }

    /// Where it is installed.
    pub fn folder(&self) -> PathBuf {
        self.dir.join("root/w")
    }

    /// The file of its settings, which its scripts are told by `MW_CONFIG_FILE`.
    pub fn settings(&self) -> String {
        self.dir.join("settings/LocalSettings.php").display().to_string()
    }

    /// Changes its settings: PHP that comes after the others.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn set(&self, php: &str) {
        let path = self.dir.join("settings/more.php");
        std::fs::write(path, format!("<?php\n{php}\n")).expect("settings");
    }

    fn php(&self, script: &Path, arguments: &[&str]) {
        let output = Command::new("php")
            .arg(script)
            .args(arguments)
            .env("MW_CONFIG_FILE", self.settings())
            .stdin(Stdio::null())
            .output()
            .expect("php");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", script.display());
    }

    /// Posts a form to its API as somebody, whose cookies may change by it.
    pub async fn ask(&self, visitor: &mut Visitor, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        let cookies = visitor.cookies.clone();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer =
            self.client.call(Method::POST, "/w/api.php", &headers, body.into_bytes()).await;
        visitor.keep(&answer);
        answer
    }

    /// Logs somebody in.
    ///
    /// # Panics
    /// If the wiki does not let them in.
    pub async fn log_in(&self, name: &str) -> Visitor {
        let mut visitor = Visitor::default();
        let form = [("action", "query"), ("meta", "tokens"), ("type", "login"), ("format", "json")];
        let answer = self.ask(&mut visitor, &form).await.json();
        let token = answer.pointer("/query/tokens/logintoken").and_then(Value::as_str);
        let form = [
            ("action", "clientlogin"),
            ("username", name),
            ("password", Self::PASSWORD),
            ("loginreturnurl", "https://example.org/"),
            ("logintoken", token.expect("a token")),
            ("format", "json"),
        ];
        let answer = self.ask(&mut visitor, &form).await;
        assert!(answer.text.contains("PASS"), "{}", answer.text);
        visitor
    }

    /// Logs somebody out.
    pub async fn log_out(&self, visitor: &mut Visitor) {
        let token = self.csrf_token(visitor).await;
        self.ask(visitor, &[("action", "logout"), ("token", &token), ("format", "json")]).await;
    }

    /// What proves that a form is somebody's own.
    ///
    /// # Panics
    /// If the wiki gives none.
    pub async fn csrf_token(&self, visitor: &mut Visitor) -> String {
        let form = [("action", "query"), ("meta", "tokens"), ("format", "json")];
        let answer = self.ask(visitor, &form).await.json();
        let token = answer.pointer("/query/tokens/csrftoken").and_then(Value::as_str);
        token.expect("a token").to_owned()
    }
}

impl Visitor {
    /// As a browser would, but for what a cookie says of where it belongs.
    fn keep(&mut self, answer: &Answer) {
        let mut pairs: Vec<(String, String)> = self
            .cookies
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for line in answer.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap_or_default();
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let Some((name, value)) = pair else { continue };
            pairs.retain(|(each, _)| each != name);
            if value != "deleted" {
                pairs.push((name.to_owned(), value.to_owned()));
            }
        }
        let pairs: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.cookies = pairs.join("; ");
    }
}
