//! A network namespace for each server of a cluster, whose links can be cut: one to its clients, one to the other servers.

use std::process::Command;

/// Those of this process begin so; the kernel takes 15 letters.
const NAME: &str = "rv";

/// The networks of a cluster. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Network {
    /// Tells processes apart.
    id: u32,
    servers: u8,
}

fn ip(words: &str) -> bool {
    let done = Command::new("ip").args(words.split(' ')).output();
    done.is_ok_and(|done| done.status.success())
}

fn must(words: &str) {
    assert!(ip(words), "ip {words}");
}

impl Network {
    /// Makes namespaces for so many servers, numbered from 1. Nothing where that is not allowed.
    pub(super) fn make(servers: u8) -> Option<Self> {
        let id = std::process::id() % 100_000;
        let network = Self { id, servers };
        let bridge = network.bridge();
        ip(&format!("link del {bridge}"));
        if !ip(&format!("link add {bridge} type bridge")) {
            return None;
        }
        must(&format!("link set {bridge} up"));
        for number in 1..=servers {
            let (inside, third) = (network.namespace(number), network.third(number));
            must(&format!("netns add {inside}"));
            must(&format!("-n {inside} link set lo up"));
            // To its clients, who are here.
            let outer = network.link('c', number);
            must(&format!("link add {outer} type veth peer name toclients netns {inside}"));
            must(&format!("addr add 10.77.{third}.1/30 dev {outer}"));
            must(&format!("link set {outer} up"));
            must(&format!("-n {inside} addr add 10.77.{third}.2/30 dev toclients"));
            must(&format!("-n {inside} link set toclients up"));
            // To the others.
            let outer = network.link('g', number);
            must(&format!("link add {outer} type veth peer name toothers netns {inside}"));
            must(&format!("link set {outer} master {bridge} up"));
            must(&format!("-n {inside} addr add 10.78.0.{number}/24 dev toothers"));
            must(&format!("-n {inside} link set toothers up"));
        }
        Some(network)
    }

    fn bridge(&self) -> String {
        format!("{NAME}b{}", self.id)
    }

    pub(super) fn namespace(&self, number: u8) -> String {
        format!("{NAME}{}-{number}", self.id)
    }

    fn link(&self, kind: char, number: u8) -> String {
        format!("{NAME}{kind}{}-{number}", self.id)
    }

    /// Networks of several processes do not meet.
    fn third(&self, number: u8) -> u32 {
        (self.id * u32::from(self.servers) + u32::from(number)) % 250
    }

    /// Where clients find a server.
    pub(super) fn client_address(&self, number: u8) -> String {
        format!("10.77.{}.2", self.third(number))
    }

    /// Where the other servers find it.
    pub(super) fn group_address(number: u8) -> String {
        format!("10.78.0.{number}")
    }

    /// Cuts a link, or mends it. What is sent meanwhile is lost without a word.
    pub(super) fn set_link(&self, kind: Link, number: u8, state: LinkState) {
        let kind = match kind {
            Link::Clients => 'c',
            Link::Others => 'g',
        };
        let state = match state {
            LinkState::Cut => "down",
            LinkState::Up => "up",
        };
        let link = self.link(kind, number);
        must(&format!("link set {link} {state}"));
    }
}

/// A link of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// To those who ask it.
    Clients,
    /// To the other servers of its cluster.
    Others,
}

/// What is to become of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing comes through.
    Cut,
    /// As it was.
    Up,
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 1..=self.servers {
            ip(&format!("netns del {}", self.namespace(number)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}
