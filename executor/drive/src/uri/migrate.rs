//! Where the guest's memory is sent: `tcp` or `rdma` to a host, or, for the operator, a Unix socket.

use super::Origin;

/// Checks a migration URI: `tcp://HOST[:PORT]`, `tcp:HOST[:PORT]`, the same with `rdma`, and `unix:///PATH` where the operator
/// wrote it. QEMU runs a program for some others (`exec:`).
///
/// # Errors
/// The reason why it is refused.
pub fn check_migrate_uri(text: &str, origin: Origin) -> Result<(), &'static str> {
    const SCHEMES: &str =
        "memory is sent by `tcp` or `rdma`: write tcp://HOST or rdma://HOST, with a port if it matters";
    const HOST: &str = "the migration URI names no host: write tcp://HOST or tcp://HOST:PORT";
    if text.len() > super::MOST_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the migration URI holds a space, a control character or a letter that is not ASCII");
    }
    let (scheme, rest) = text.split_once(':').ok_or(SCHEMES)?;
    match scheme {
        "tcp" | "rdma" => {
            let place = rest.strip_prefix("//").unwrap_or(rest);
            let place = place.strip_suffix('/').unwrap_or(place);
            match super::reader::place(place, false) {
                Ok((Some(_), _)) => Ok(()),
                _ => Err(HOST),
            }
        }
        "unix" if origin == Origin::Operator => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let is_path = path.starts_with('/') && !path.contains(['?', '#', ',', '%']);
            is_path.then_some(()).ok_or("a Unix socket is written unix:///PATH")
        }
        _ => Err(SCHEMES),
    }
}
