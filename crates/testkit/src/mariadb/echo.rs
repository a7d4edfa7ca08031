//! A wiki's tables.

/// The tables of subscriptions as Echo makes them for `MySQL`, empty. `prefix` is the wiki's `$wgDBprefix`.
pub fn echo_tables(prefix: &str) -> String {
    TABLES.replace("echo_push_", &format!("{prefix}echo_push_"))
}

const TABLES: &str = "
CREATE TABLE echo_push_subscription (
    eps_id INT UNSIGNED AUTO_INCREMENT NOT NULL, eps_user INT UNSIGNED NOT NULL, eps_token BLOB NOT NULL,
    eps_token_sha256 CHAR(64) NOT NULL, eps_provider TINYINT UNSIGNED NOT NULL,
    eps_updated TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL, eps_data BLOB DEFAULT NULL,
    eps_topic TINYINT UNSIGNED DEFAULT NULL,
    UNIQUE INDEX eps_token_sha256 (eps_token_sha256), INDEX eps_provider (eps_provider), INDEX eps_topic (eps_topic),
    INDEX eps_user (eps_user), INDEX eps_token (eps_token(10)), PRIMARY KEY (eps_id)
) CHARSET binary;
CREATE TABLE echo_push_provider (epp_id TINYINT UNSIGNED AUTO_INCREMENT NOT NULL, epp_name TINYBLOB NOT NULL, PRIMARY KEY (epp_id)) CHARSET binary;
CREATE TABLE echo_push_topic (ept_id TINYINT UNSIGNED AUTO_INCREMENT NOT NULL, ept_text TINYBLOB NOT NULL, PRIMARY KEY (ept_id)) CHARSET binary;
";
