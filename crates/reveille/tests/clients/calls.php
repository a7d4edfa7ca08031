<?php
/**
 * Every call of the PHP client, and every kind of trouble.
 *
 * Arguments: the folder of the client, the private API, its token, the same behind a network that loses the first answer and breaks off the second, the session store, the sandbox's
 * control port, a server with TLS, the authority it is of.
 */

declare( strict_types=1 );
set_error_handler( static function ( int $level, string $what, string $file, int $line ) {
	throw new ErrorException( $what, 0, $level, $file, $line );
} );

[ , $folder, $pushUrl, $token, $lossyUrl, $sessionsUrl, $control, $tlsUrl, $caFile ] = $argv;
require "$folder/Reveille.php";

$push = new Reveille( $pushUrl, $token );
// What is no part of the client: stopping delivery.
$operator = new class( $pushUrl, $token ) extends ReveilleClient {
	public function say( string $word ): void {
		$this->call( 'POST', "/v1/$word", '{}', [ 'Content-Type: application/json' ] );
	}
};
$accepted = [];

function ok( string $what ): void {
	echo "ok $what\n";
}

function holds( bool $is, string $what ): void {
	if ( !$is ) {
		throw new LogicException( $what );
	}
}

function failure( callable $work ): ReveilleError {
	try {
		$work();
	} catch ( ReveilleError $error ) {
		return $error;
	}
	throw new LogicException( 'nothing was refused' );
}

/** Waits until all that was accepted has left. */
$settle = static function () use ( $push, $control, &$accepted ): void {
	foreach ( $accepted as $id ) {
		for ( $looks = 0; $push->trail( $id )['state'] !== 'settled'; $looks++ ) {
			holds( $looks < 60, 'it never leaves' );
			file_get_contents( "$control/stats?received_min=1000000&wait_s=1" );
		}
	}
};

$accepted[] = $push->notify( [ 'alice', 'böb/by' ], 'mention', [ 'content' => [ 'text' => 'ä' ], 'ttl_s' => 60 ] );
$settle();
holds( $push->trail( $accepted[0] )['wakeups']['sent'] === 2, 'both are woken' );
ok( 'a notification is accepted, and has a trail' );

$devices = $push->subscriptions( 'böb/by' );
holds( count( $devices ) === 1 && $devices[0]['provider'] === 'fcm' && !isset( $devices[0]['token'] ), 'one device' );
ok( "a user's devices are shown" );

$once = $push->notify( [ 'alice' ], 'mention', [], 'a-job-that-runs-twice' );
holds( $push->notify( [ 'alice' ], 'mention', [], 'a-job-that-runs-twice' ) === $once, 'once' );
$reused = failure( static fn () => $push->notify( [ 'alice' ], 'thanks', [], 'a-job-that-runs-twice' ) );
holds( $reused->status === 409 && $reused->type === 'urn:reveille:problem:idempotency-key-reused', "$reused" );
try {
	$push->notify( [ 'alice' ], 'mention', [], "a-key\r\nof-two: lines" );
	holds( false, 'a header was smuggled' );
} catch ( InvalidArgumentException ) {
}
$accepted[] = $once;
$settle();
ok( 'the same key does nothing twice' );

$accepted[] = ( new Reveille( $lossyUrl, $token, wait: static fn () => null ) )->notify( [ 'alice' ], 'mention' );
$settle();
holds( $push->trail( end( $accepted ) )['wakeups']['accepted'] === 1, 'once' );
ok( 'where the answer got lost, or broke off, it is asked again, with the same key' );

$bad = failure( static fn () => $push->notify( [], 'mention' ) );
holds( $bad->status === 422 && $bad->type === 'urn:reveille:problem:invalid-notifications', "$bad" );
holds( str_starts_with( $bad->getMessage(), '422 Some notifications do not fit' ) && $bad->detail !== '', "$bad" );
holds( array_column( $bad->errors, 'index' ) === [ 0 ] && str_contains( $bad->getMessage(), $bad->errors[0]['detail'] ), "$bad" );
holds( $push->subscriptions( '..' ) === [], 'a user may be called so' );
$stranger = failure( static fn () => ( new Reveille( $pushUrl, 'another-token-of-nobody' ) )->subscriptions( 'alice' ) );
holds( $stranger->status === 401 && $stranger->type === 'urn:reveille:problem:unauthorized', "$stranger" );
holds( failure( static fn () => $push->trail( str_repeat( '0', 32 ) ) )->status === 404, 'unknown' );
ok( 'what is refused says why, and is not asked again' );

$operator->say( 'pause' );
$full = failure( static function () use ( $pushUrl, $token, &$accepted ) {
	for ( $more = 0; $more < 10; $more++ ) {
		$accepted[] = ( new Reveille( $pushUrl, $token, waitSMax: 1 ) )->notify( [ 'alice', 'böb/by' ], 'mention' );
	}
} );
holds( [ $full->status, $full->type, $full->retryAfterS ] === [ 503, 'urn:reveille:problem:outbox-full', 5 ], "$full" );
ok( "a longer wait than it may take is its caller's affair" );

$waits = [];
$wait = static function ( float $seconds ) use ( &$waits, $operator, $settle ): void {
	$waits[] = $seconds;
	$operator->say( 'resume' );
	$settle();
};
$accepted[] = ( new Reveille( $pushUrl, $token, wait: $wait ) )->notify( [ 'alice' ], 'mention' );
holds( $waits !== [] && array_unique( $waits ) === [ 5.0 ], json_encode( $waits ) );
$settle();
ok( 'it comes again when it was told to' );

$waits = [];
$count = static function ( float $seconds ) use ( &$waits ): void {
	$waits[] = $seconds;
};
$nobody = failure( static fn () => ( new Reveille( 'http://127.0.0.1:1', triesMax: 3, wait: $count ) )->fetched( 'alice' ) );
holds( $nobody->status === 0 && $nobody->type === 'urn:reveille:client:unreachable', "$nobody" );
holds( count( $waits ) === 2 && $waits[0] < $waits[1], json_encode( $waits ) );
$untrusted = failure( static fn () => ( new Reveille( $tlsUrl, triesMax: 1 ) )->fetched( 'alice' ) );
holds( $untrusted->status === 0 && str_contains( $untrusted->detail, 'certificate' ), "$untrusted" );
$trusted = failure( static fn () => ( new Reveille( $tlsUrl, caFile: $caFile, triesMax: 1 ) )->fetched( 'alice' ) );
holds( $trusted->status === 404, "$trusted" );
ok( 'a server out of reach is given up, and one that cannot prove its name is not spoken to' );

holds( $push->fetched( 'alice' ) === 0, 'nothing waits' );
$push->erase( 'alice' );
holds( $push->subscriptions( 'alice' ) === [], 'nothing is left' );
ok( 'a user has looked, and goes' );

$sessions = new ReveilleSessions( $sessionsUrl );
foreach ( [ 'a-key', 'ä/key with&odd?letters' ] as $key ) {
	holds( $sessions->get( $key ) === null, 'nothing yet' );
	$sessions->set( $key, 'before' );
	$sessions->set( $key, "\0\xff any bytes" );
	holds( $sessions->get( $key ) === "\0\xff any bytes", 'what was written' );
	$sessions->delete( $key );
	holds( $sessions->get( $key ) === null, 'nothing any more' );
}
$sessions->set( 'brief', 'x', 0 );
holds( $sessions->get( 'brief' ) === null, 'it has ended' );
holds( failure( static fn () => $sessions->set( str_repeat( 'k', 2000 ), 'x' ) )->status === 414, 'too long' );
holds( failure( static fn () => $sessions->set( 'a-key', '' ) )->status === 400, 'an empty value is none' );
ok( 'entries are written, read and deleted' );
