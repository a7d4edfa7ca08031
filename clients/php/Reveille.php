<?php
/**
 * Reveille's private API and its session store, from a site's own server. One file; it needs PHP 8.1 and the extension curl: copy it.
 *
 *     $push = new Reveille( 'http://127.0.0.1:8900' );
 *     $push->notify( [ 'alice' ], 'mention', [ 'content' => [ 'text' => 'Somebody mentioned you' ] ] );
 *
 * Every call ends within its bounds: `timeoutS` for a try, `triesMax` tries, and no wait between them longer than `waitSMax`.
 * What failed is a `ReveilleError`; what cannot be sent at all, an `InvalidArgumentException`.
 */

declare( strict_types=1 );

/** Why something was not done: what the server says (RFC 9457), or with `$status` 0 why there was no answer. */
class ReveilleError extends RuntimeException {
	/**
	 * @param int $status
	 * @param string $type `urn:reveille:problem:…`, or `urn:reveille:client:unreachable` or `…:odd-answer`
	 * @param string $title
	 * @param string $detail
	 * @param int|null $retryAfterS When it may be tried again, in seconds, where the server says so
	 * @param array<array{index: int, detail: string}> $errors What is wrong with which notification (422)
	 */
	public function __construct(
		public readonly int $status,
		public readonly string $type,
		string $title,
		public readonly string $detail = '',
		public readonly ?int $retryAfterS = null,
		public readonly array $errors = [],
	) {
		$more = implode( '; ', array_filter( [ $detail, ...array_column( $errors, 'detail' ) ] ) );
		parent::__construct( trim( ( $status ?: '' ) . " $title" . ( $more === '' ? '' : " ($more)" ) ) );
	}
}

/** Sends requests to one server, and the same again while its trouble may pass. */
abstract class ReveilleClient {
	/** Most bytes of an answer that are read. The session store's values have up to 15 MiB. */
	private const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
	/** After these the same request may be sent again: nothing was done, or doing it twice is the same as once. */
	private const PASSING = [ 429, 500, 502, 503, 504 ];

	private string $url;
	/** @var callable(float): void */
	private $wait;

	/**
	 * @param string $url
	 * @param string|null $token A bearer token
	 * @param string|null $caFile An authority to trust instead of the system's; certificates are always verified
	 * @param int $timeoutS
	 * @param int $triesMax
	 * @param int $waitSMax
	 * @param callable|null $wait Waits so many seconds
	 */
	public function __construct(
		string $url,
		private ?string $token = null,
		private ?string $caFile = null,
		private int $timeoutS = 10,
		private int $triesMax = 4,
		private int $waitSMax = 30,
		?callable $wait = null,
	) {
		$this->url = rtrim( $url, '/' );
		// As a file has it.
		$this->token = $token === null ? null : trim( $token );
		$this->wait = $wait ?? static fn ( float $seconds ) => usleep( (int)( $seconds * 1e6 ) );
	}

	/** The body of an answer that is not an error. */
	protected function call( string $method, string $path, ?string $body = null, array $headers = [] ): string {
		for ( $tried = 1; ; $tried++ ) {
			try {
				return $this->once( $method, $path, $body, $headers );
			} catch ( ReveilleError $error ) {
				$pauseS = $error->retryAfterS ?? random_int( 500, 1000 ) / 1000 * 2 ** ( $tried - 1 );
				$mayPass = in_array( $error->status, self::PASSING, true ) || str_ends_with( $error->type, ':unreachable' );
				if ( !$mayPass || $tried >= $this->triesMax || $pauseS > $this->waitSMax ) {
					throw $error;
				}
			}
			( $this->wait )( $pauseS );
		}
	}

	/** The same, of JSON both ways. */
	protected function json( string $method, string $path, ?array $value = null, array $headers = [] ): mixed {
		$body = null;
		if ( $value !== null ) {
			try {
				$body = json_encode( $value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES );
			} catch ( JsonException $error ) {
				throw new InvalidArgumentException( "what is given is no JSON: {$error->getMessage()}" );
			}
			$headers[] = 'Content-Type: application/json';
		}
		$content = $this->call( $method, $path, $body, $headers );
		try {
			return $content === '' ? null : json_decode( $content, true, 512, JSON_THROW_ON_ERROR );
		} catch ( JsonException ) {
			throw new ReveilleError( 0, 'urn:reveille:client:odd-answer', 'The answer is not JSON' );
		}
	}

	private function once( string $method, string $path, ?string $body, array $headers ): string {
		$content = '';
		$retryAfter = null;
		$handle = curl_init( $this->url . $path );
		if ( $this->token !== null ) {
			$headers[] = "Authorization: Bearer $this->token";
		}
		// Larger bodies would be announced first, and wait for a word.
		$headers[] = 'Expect:';
		if ( preg_grep( '/[\r\n]/', $headers ) ) {
			throw new InvalidArgumentException( 'a token or key is one line' );
		}
		curl_setopt_array( $handle, [
			CURLOPT_CUSTOMREQUEST => $method,
			CURLOPT_HTTPHEADER => $headers,
			CURLOPT_CONNECTTIMEOUT => $this->timeoutS,
			CURLOPT_TIMEOUT => $this->timeoutS,
			CURLOPT_FOLLOWLOCATION => false,
			// A user may be called `..`.
			CURLOPT_PATH_AS_IS => true,
			CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
			CURLOPT_SSL_VERIFYPEER => true,
			CURLOPT_SSL_VERIFYHOST => 2,
			CURLOPT_HEADERFUNCTION => static function ( $handle, string $line ) use ( &$retryAfter ): int {
				if ( stripos( $line, 'retry-after:' ) === 0 ) {
					$retryAfter = trim( substr( $line, 12 ) );
				}
				return strlen( $line );
			},
			CURLOPT_WRITEFUNCTION => static function ( $handle, string $part ) use ( &$content ): int {
				$content .= $part;
				// Less than was given ends it.
				return strlen( $content ) > self::ANSWER_BYTES_MAX ? 0 : strlen( $part );
			},
		] );
		if ( $body !== null ) {
			curl_setopt( $handle, CURLOPT_POSTFIELDS, $body );
		}
		if ( $this->caFile !== null ) {
			curl_setopt( $handle, CURLOPT_CAINFO, $this->caFile );
		}
		$done = curl_exec( $handle );
		$status = curl_getinfo( $handle, CURLINFO_RESPONSE_CODE );
		if ( strlen( $content ) > self::ANSWER_BYTES_MAX ) {
			throw new ReveilleError( 0, 'urn:reveille:client:odd-answer', 'The answer is too long' );
		}
		if ( $done === false ) {
			throw new ReveilleError( 0, 'urn:reveille:client:unreachable', 'The server does not answer', curl_error( $handle ) );
		}
		if ( $status < 200 || $status >= 300 ) {
			throw self::refused( $status, $content, $retryAfter );
		}
		return $content;
	}

	private static function refused( int $status, string $content, ?string $retryAfter ): ReveilleError {
		$problem = json_decode( $content, true );
		// A proxy's page is none.
		$problem = is_array( $problem ) ? $problem : [];
		$word = static fn ( string $name ) => is_string( $problem[$name] ?? null ) ? $problem[$name] : null;
		$errors = is_array( $problem['errors'] ?? null ) ? $problem['errors'] : [];
		return new ReveilleError(
			$status,
			$word( 'type' ) ?? 'about:blank',
			$word( 'title' ) ?? 'The server refuses',
			$word( 'detail' ) ?? '',
			self::retryAfter( $retryAfter ),
			array_values( array_filter( $errors, static fn ( $each ) => is_string( $each['detail'] ?? null ) ) )
		);
	}

	/** Seconds from now, of either form (RFC 9110, section 10.2.3). */
	private static function retryAfter( ?string $value ): ?int {
		if ( $value === null || ctype_digit( $value ) ) {
			return $value === null ? null : (int)$value;
		}
		$at = strtotime( $value );
		return $at === false ? null : max( 0, $at - time() );
	}
}

/** The private API: for callers inside the cluster. */
class Reveille extends ReveilleClient {
	/**
	 * Wakes the devices of users. Returns the notification's id once it is on disk at the server.
	 *
	 * Every try has the same `Idempotency-Key`, so that one that was carried out and whose answer got lost does nothing again.
	 *
	 * @param string[] $users
	 * @param string $type
	 * @param array $more The other fields of `POST /v1/notifications`: `content`, `ttl_s`, `deliver_after`, `spread_s`, `dry_run`
	 * @param string|null $key Where you repeat it yourself (a job that runs twice), within an hour
	 */
	public function notify( array $users, string $type, array $more = [], ?string $key = null ): string {
		$key ??= bin2hex( random_bytes( 16 ) );
		// A list, whatever has been filtered out of it.
		$body = [ 'users' => array_values( $users ), 'type' => $type ] + $more;
		return $this->json( 'POST', '/v1/notifications', $body, [ "Idempotency-Key: $key" ] )['id'];
	}

	/** What became of a notification: counts, no user and no device. */
	public function trail( string $id ): array {
		return $this->json( 'GET', '/v1/notifications/' . rawurlencode( $id ) );
	}

	/** Takes back a notification whose `deliver_after` has not come. */
	public function takeBack( string $id ): void {
		$this->json( 'DELETE', '/v1/notifications/' . rawurlencode( $id ) );
	}

	/** A user's devices. Their tokens are never shown. */
	public function subscriptions( string $user ): array {
		return $this->json( 'GET', '/v1/users/' . rawurlencode( $user ) . '/subscriptions' );
	}

	/** The user has looked: what waits for their devices is cancelled. Returns how many wake-ups were. */
	public function fetched( string $user ): int {
		return $this->json( 'POST', '/v1/users/' . rawurlencode( $user ) . '/fetched' )['cancelled'];
	}

	/** Removes every trace of a user, and returns once it is gone. */
	public function erase( string $user ): void {
		$this->json( 'DELETE', '/v1/users/' . rawurlencode( $user ) );
	}
}

/** The session store: `new ReveilleSessions( 'http://127.0.0.1:8081/sessions/v1' )`. Values are bytes. */
class ReveilleSessions extends ReveilleClient {
	/** The value; null where there is none. */
	public function get( string $key ): ?string {
		try {
			return $this->call( 'GET', '/' . rawurlencode( $key ) );
		} catch ( ReveilleError $error ) {
			if ( $error->status === 404 ) {
				return null;
			}
			throw $error;
		}
	}

	/** Writes a value in the place of the one there is. `$maxAgeS` shortens its life. */
	public function set( string $key, string $value, ?int $maxAgeS = null ): void {
		$headers = [ 'Content-Type: application/octet-stream' ];
		if ( $maxAgeS !== null ) {
			$headers[] = "Cache-Control: max-age=$maxAgeS";
		}
		$this->call( 'POST', '/' . rawurlencode( $key ), $value, $headers );
	}

	/** Removes it, if it is there. */
	public function delete( string $key ): void {
		$this->call( 'DELETE', '/' . rawurlencode( $key ) );
	}
}
