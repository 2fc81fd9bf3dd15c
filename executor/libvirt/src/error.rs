//! What libvirt says when a call fails.
//!
//! The error is copied out of libvirt's thread-local slot by the call that failed. Nothing here decides what
//! a failure means for the guest: a failed call is a reason to observe both hosts, never proof of where the
//! guest runs.

use super::numbered::numbered;
use std::fmt;

numbered! {
    /// The numbers of libvirt's `virErrorNumber` that a migration has to tell apart.
    ErrorCode {
        /// A fault inside libvirt or QEMU without a code of its own; also "client socket is closed".
        InternalError = 1,
        /// The driver of this connection does not have the function.
        NoSupport = 3,
        /// A host name does not resolve.
        UnknownHost = 4,
        /// The hypervisor or its daemon cannot be reached.
        NoConnect = 5,
        /// The connection object is not usable.
        InvalidConnection = 6,
        /// The domain object is not usable.
        InvalidDomain = 7,
        /// An argument is not acceptable; also used for what this layer refuses before it calls libvirt.
        InvalidArgument = 8,
        /// QEMU refused or failed a command.
        OperationFailed = 9,
        /// XML that does not parse.
        XmlError = 27,
        /// A domain of this name or uuid exists already.
        DomainExists = 28,
        /// The connection is read-only.
        OperationDenied = 29,
        /// A system call failed, such as `connect`.
        SystemError = 38,
        /// The remote procedure call failed: daemon gone, socket broken, answer garbled.
        Rpc = 39,
        /// The TLS library reported a fault.
        GnuTls = 40,
        /// The domain does not exist here, or has just gone.
        NoDomain = 42,
        /// There is no such storage pool.
        NoStoragePool = 49,
        /// The storage pool has no such file.
        NoStorageVolume = 50,
        /// Authentication was refused.
        AuthFailed = 45,
        /// The domain is in a state that does not allow the call, such as aborting when no job runs.
        OperationInvalid = 55,
        /// The configuration requires what this host cannot do.
        ConfigUnsupported = 67,
        /// A lock or an answer did not come in time, such as another job holding the domain.
        OperationTimeout = 68,
        /// The guest moved, but its definition was not stored on the destination.
        MigratePersistFailed = 69,
        /// The call is known, but a flag or parameter of it is not.
        ArgumentUnsupported = 74,
        /// The operation was aborted, as `abort_job` requests.
        OperationAborted = 78,
        /// Authentication was given up.
        AuthCancelled = 79,
        /// The domain has no metadata of the namespace.
        NoDomainMetadata = 80,
        /// libvirt considers the migration unsafe for the disks.
        MigrateUnsafe = 81,
        /// The object does not support the operation.
        OperationUnsupported = 84,
        /// The ssh transport failed.
        Ssh = 85,
        /// Something that the call needs is in use.
        ResourceBusy = 87,
        /// Access control refused the call.
        AccessDenied = 88,
        /// The processors do not suit each other.
        CpuIncompatible = 91,
        /// The destination's word to the source for "migration successfully aborted" (`migration successfully
        /// aborted` is libvirt's own text of it). It never means success.
        MigrateFinishOk = 93,
        /// No way of authenticating is available.
        AuthUnavailable = 94,
        /// The libssh transport failed.
        LibSsh = 98,
        /// A device is missing.
        DeviceMissing = 99,
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// A call into libvirt that failed, or that was refused before it was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libvirt's `{call}` failed with {code}: {message}")]
pub(crate) struct LibvirtError {
    /// The C function that failed.
    pub(crate) call: &'static str,
    /// What kind of failure it is.
    pub(crate) code: ErrorCode,
    /// The part of libvirt that reported it (`virErrorDomain`): 7 is the remote procedure call, 10 QEMU's
    /// driver; 0 when this layer refused the call itself. A migration passes on the source daemon's errors, so 7
    /// may be the link between the daemons as well as ours: [`super::Connection::is_alive`] distinguishes them.
    pub(crate) domain: i32,
    /// libvirt's own words, which name the object and often the cause.
    pub(crate) message: String,
}

impl LibvirtError {
    /// A call that this layer refuses, because libvirt could not take the argument as it is.
    pub(super) fn refused(call: &'static str, message: String) -> Self {
        Self { call, code: ErrorCode::InvalidArgument, domain: 0, message }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn the_table_agrees_with_the_header() {
        let table = [
            (ErrorCode::OperationAborted, virt_sys::VIR_ERR_OPERATION_ABORTED),
            (ErrorCode::OperationInvalid, virt_sys::VIR_ERR_OPERATION_INVALID),
            (ErrorCode::OperationFailed, virt_sys::VIR_ERR_OPERATION_FAILED),
            (ErrorCode::OperationTimeout, virt_sys::VIR_ERR_OPERATION_TIMEOUT),
            (ErrorCode::OperationUnsupported, virt_sys::VIR_ERR_OPERATION_UNSUPPORTED),
            (ErrorCode::OperationDenied, virt_sys::VIR_ERR_OPERATION_DENIED),
            (ErrorCode::MigrateUnsafe, virt_sys::VIR_ERR_MIGRATE_UNSAFE),
            (ErrorCode::MigratePersistFailed, virt_sys::VIR_ERR_MIGRATE_PERSIST_FAILED),
            (ErrorCode::MigrateFinishOk, virt_sys::VIR_ERR_MIGRATE_FINISH_OK),
            (ErrorCode::CpuIncompatible, virt_sys::VIR_ERR_CPU_INCOMPATIBLE),
            (ErrorCode::ConfigUnsupported, virt_sys::VIR_ERR_CONFIG_UNSUPPORTED),
            (ErrorCode::ArgumentUnsupported, virt_sys::VIR_ERR_ARGUMENT_UNSUPPORTED),
            (ErrorCode::NoDomain, virt_sys::VIR_ERR_NO_DOMAIN),
            (ErrorCode::NoDomainMetadata, virt_sys::VIR_ERR_NO_DOMAIN_METADATA),
            (ErrorCode::NoStoragePool, virt_sys::VIR_ERR_NO_STORAGE_POOL),
            (ErrorCode::NoStorageVolume, virt_sys::VIR_ERR_NO_STORAGE_VOL),
            (ErrorCode::NoSupport, virt_sys::VIR_ERR_NO_SUPPORT),
            (ErrorCode::NoConnect, virt_sys::VIR_ERR_NO_CONNECT),
            (ErrorCode::UnknownHost, virt_sys::VIR_ERR_UNKNOWN_HOST),
            (ErrorCode::Rpc, virt_sys::VIR_ERR_RPC),
            (ErrorCode::GnuTls, virt_sys::VIR_ERR_GNUTLS_ERROR),
            (ErrorCode::SystemError, virt_sys::VIR_ERR_SYSTEM_ERROR),
            (ErrorCode::AuthFailed, virt_sys::VIR_ERR_AUTH_FAILED),
            (ErrorCode::AuthCancelled, virt_sys::VIR_ERR_AUTH_CANCELLED),
            (ErrorCode::AuthUnavailable, virt_sys::VIR_ERR_AUTH_UNAVAILABLE),
            (ErrorCode::InternalError, virt_sys::VIR_ERR_INTERNAL_ERROR),
            (ErrorCode::InvalidConnection, virt_sys::VIR_ERR_INVALID_CONN),
            (ErrorCode::InvalidDomain, virt_sys::VIR_ERR_INVALID_DOMAIN),
            (ErrorCode::InvalidArgument, virt_sys::VIR_ERR_INVALID_ARG),
            (ErrorCode::XmlError, virt_sys::VIR_ERR_XML_ERROR),
            (ErrorCode::DomainExists, virt_sys::VIR_ERR_DOM_EXIST),
            (ErrorCode::Ssh, virt_sys::VIR_ERR_SSH),
            (ErrorCode::LibSsh, virt_sys::VIR_ERR_LIBSSH),
            (ErrorCode::ResourceBusy, virt_sys::VIR_ERR_RESOURCE_BUSY),
            (ErrorCode::AccessDenied, virt_sys::VIR_ERR_ACCESS_DENIED),
            (ErrorCode::DeviceMissing, virt_sys::VIR_ERR_DEVICE_MISSING),
        ];
        for (code, number) in table {
            assert_eq!(ErrorCode::from(i32::try_from(number).unwrap()), code);
        }
    }

    #[test]
    fn an_unknown_number_keeps_its_number() {
        assert_eq!(ErrorCode::from(4711), ErrorCode::Other(4711));
    }
}
