//! libvirt's errors in the core's classes. One table, so that a later libvirt's words are added in one place.

use whimbrel_core::{Failure, Fault, Side};

use crate::{Connection, ErrorCode, LibvirtError};

/// A failure of a short call to one host.
pub(super) fn failure(side: Side, error: &LibvirtError) -> Failure {
    Failure::new(fault(side, error), error.message.clone())
}

/// A failure of the migrate call. When our own connection to the source died, the reply is lost: the source's daemon
/// may go on, or may have gone.
pub(super) fn call_failure(error: &LibvirtError, connection: &Connection) -> Failure {
    if connection.is_alive() != Ok(true) {
        return Failure::new(Fault::ReplyLost, error.message.clone());
    }
    failure(Side::Destination, error)
}

fn fault(side: Side, error: &LibvirtError) -> Fault {
    // libvirt has one code for many causes; its words are the only way to tell these apart.
    let says = |words: &str| error.message.contains(words);
    match error.code {
        ErrorCode::NoDomain => Fault::GuestNotFound,
        ErrorCode::OperationAborted => Fault::Aborted,
        ErrorCode::MigrateUnsafe => Fault::UnsafeStorage,
        ErrorCode::CpuIncompatible | ErrorCode::ConfigUnsupported => Fault::Incompatible,
        ErrorCode::DomainExists => Fault::GuestExists,
        ErrorCode::UnknownHost => Fault::AddressNotResolved,
        ErrorCode::AuthFailed
        | ErrorCode::AuthCancelled
        | ErrorCode::AuthUnavailable
        | ErrorCode::AccessDenied => Fault::AuthenticationFailed,
        _ if says("resolve address") || says("name resolution") || says("Name or service not known") => {
            Fault::AddressNotResolved
        }
        // What `ssh` says of a key that it does not know, and of an account that does not let us in.
        _ if says("Host key verification failed") || says("Permission denied (") => {
            Fault::AuthenticationFailed
        }
        _ if says("unused port") || says("Address already in use") => Fault::PortUnavailable,
        _ if says("already exists") || says("already active") => Fault::GuestExists,
        ErrorCode::NoConnect | ErrorCode::Rpc | ErrorCode::SystemError | ErrorCode::InvalidConnection => {
            Fault::unreachable(side)
        }
        ErrorCode::OperationInvalid | ErrorCode::OperationTimeout | ErrorCode::ResourceBusy => Fault::Refused,
        _ => Fault::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: ErrorCode, message: &str) -> LibvirtError {
        LibvirtError { call: "virDomainMigrateToURI3", code, domain: 10, message: message.to_owned() }
    }

    #[test]
    fn errors_are_named_for_who_is_at_fault() {
        let table = [
            (ErrorCode::OperationAborted, "operation aborted", Fault::Aborted),
            (ErrorCode::InternalError, "Unable to resolve address 'beta'", Fault::AddressNotResolved),
            (
                ErrorCode::InternalError,
                "Unable to find an unused port in range 'migration'",
                Fault::PortUnavailable,
            ),
            (ErrorCode::OperationFailed, "domain 'web' already exists with uuid 1", Fault::GuestExists),
            (
                ErrorCode::SystemError,
                "unable to connect to server: Connection refused",
                Fault::DestinationUnreachable,
            ),
            (
                ErrorCode::SystemError,
                "Cannot recv data: Host key verification failed.: Connection reset by peer",
                Fault::AuthenticationFailed,
            ),
            (ErrorCode::OperationInvalid, "no job is active on the domain", Fault::Refused),
            (ErrorCode::MigrateUnsafe, "Unsafe migration", Fault::UnsafeStorage),
            (ErrorCode::OperationFailed, "something new", Fault::Other),
        ];
        for (code, message, fault) in table {
            assert_eq!(failure(Side::Destination, &error(code, message)).fault, fault, "{message}");
        }
    }
}
