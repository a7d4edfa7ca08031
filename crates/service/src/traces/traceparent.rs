//! `traceparent` of W3C's Trace Context: which trace a request belongs to.

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: &str = "traceparent";

/// What a request says of its trace. One that says it wrongly, or twice, has said nothing. `tracestate` is not looked at: others' words would be kept with it.
pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let mut fields = value.splitn(5, '-');
    let version = hex(fields.next()?, 2)?;
    let trace = hex(fields.next()?, 32)?;
    let parent = hex(fields.next()?, 16)?;
    let flags = hex(fields.next()?, 2)?;
    // Later versions may say more behind it.
    if version == "ff" || version == "00" && fields.next().is_some() {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let trace = TraceId::from_hex(trace).ok()?;
    let parent = SpanId::from_hex(parent).ok()?;
    let context = SpanContext::new(trace, parent, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// A field that is so many hexadecimal digits, all of them small.
fn hex(field: &str, digits: usize) -> Option<&str> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (field.len() == digits && field.bytes().all(is_hex)).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::{TRACEPARENT, read};
    use http::HeaderMap;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (TRACEPARENT.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_valid_one_names_trace_parent_and_whether_it_is_taken() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("03", true), ("02", false)] {
            let context = read(&headers(&[&format!("00-{TRACE}-{PARENT}-{flags}")])).unwrap();
            assert_eq!(context.trace_id().to_string(), TRACE);
            assert_eq!(context.span_id().to_string(), PARENT);
            assert_eq!((context.is_sampled(), context.is_remote()), (is_sampled, true));
        }
        assert!(read(&headers(&[&format!("cc-{TRACE}-{PARENT}-01-more-of-it")])).is_some());
    }

    #[test]
    fn anything_else_says_nothing() {
        let zeros = |digits: usize| "0".repeat(digits);
        for bad in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-+{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-{}-01", &PARENT[1..]),
            format!("00-{}-{PARENT}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("00-{TRACE}-{PARENT}-0x"),
        ] {
            assert!(read(&headers(&[&bad])).is_none(), "{bad}");
        }
        let good = format!("00-{TRACE}-{PARENT}-01");
        assert!(read(&headers(&[&good, &good])).is_none());
        assert!(read(&headers(&[])).is_none());
    }
}
