<?php
/**
 * Receives what Reveille tells of dead devices (`[push.feedback] mode = "webhook"`): checks who says it, and forgets the device.
 *
 * For a try: `REVEILLE_WEBHOOK_SECRET="$(cat webhook.secret)" php -S 127.0.0.1:8085 webhook.php`.
 */

declare( strict_types=1 );

/** What is older, or from so far ahead, may be somebody's recording. In seconds. */
const REVEILLE_AGE_S_MAX = 300;
/** Most bytes of a body. A token has up to 4,096. */
const REVEILLE_BODY_BYTES_MAX = 65536;

/**
 * Whether a request is signed with the secret (Standard Webhooks). `$body` are its bytes as they came, before anything has parsed them.
 */
function reveilleVerify(
	string $secret, string $id, string $timestamp, string $signatures, string $body, ?int $now = null
): bool {
	$secret = trim( $secret );
	$key = base64_decode( str_starts_with( $secret, 'whsec_' ) ? substr( $secret, 6 ) : $secret, true );
	if ( $key === false || $key === '' || !ctype_digit( $timestamp ) ) {
		return false;
	}
	if ( abs( ( $now ?? time() ) - (int)$timestamp ) > REVEILLE_AGE_S_MAX ) {
		return false;
	}
	$expected = 'v1,' . base64_encode( hash_hmac( 'sha256', "$id.$timestamp.$body", $key, true ) );
	// While a secret is changed there are several, with spaces between them.
	foreach ( explode( ' ', $signatures ) as $given ) {
		if ( hash_equals( $expected, $given ) ) {
			return true;
		}
	}
	return false;
}

/**
 * Yours to fill: delete it from your own table. Doing it twice must be harmless, as the same death may be told again.
 *
 * `$device` has `provider` (`apns`, `fcm`, `webpush`), `app`, `token` (of a browser its endpoint) and `reason`; of Apple's also `topic`; where it was
 * registered at Reveille, `subscription` and `user`.
 */
function reveilleForget( array $device ): void {
	error_log( "dead: {$device['provider']} {$device['reason']}" );
}

/** One request: the status of its answer. What is not answered with 2xx is told again later. */
function reveilleReceive(): int {
	$secret = getenv( 'REVEILLE_WEBHOOK_SECRET' );
	if ( !$secret ) {
		// Under PHP-FPM it has to be passed on: `env[REVEILLE_WEBHOOK_SECRET] = …` of the pool.
		error_log( 'REVEILLE_WEBHOOK_SECRET is not there; it is the secret of push.feedback.secret_file' );
		return 500;
	}
	$body = file_get_contents( 'php://input', length: REVEILLE_BODY_BYTES_MAX + 1 );
	if ( $_SERVER['REQUEST_METHOD'] !== 'POST' || $body === '' || strlen( $body ) > REVEILLE_BODY_BYTES_MAX ) {
		return 400;
	}
	$header = static fn ( string $name ) => (string)( $_SERVER["HTTP_WEBHOOK_$name"] ?? '' );
	if ( !reveilleVerify( $secret, $header( 'ID' ), $header( 'TIMESTAMP' ), $header( 'SIGNATURE' ), $body ) ) {
		return 401;
	}
	$event = json_decode( $body, true, 16, JSON_THROW_ON_ERROR );
	if ( $event['type'] === 'token.dead' ) {
		reveilleForget( $event['data'] );
	}
	return 204;
}

http_response_code( reveilleReceive() );
