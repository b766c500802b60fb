//! What SMPP statuses and receipts mean in the platform's own codes.

use bongsu_domain::code::Code;
use bongsu_domain::status::Status;
use bongsu_wire::smpp::{MessageState, status};

/// The result code of a `command_status` (SMPP 3.4, table 5-2); what is not listed is [`Code::UnmappedVendorCode`].
///
/// `ESME_RINVDSTADR` is the recipient's fault: numbers were checked before, so the relay knows better.
pub fn status_code(command_status: u32) -> Code {
    match command_status {
        status::ESME_ROK => Code::OkAccepted,
        status::ESME_RINVMSGLEN => Code::BodyTooLong,
        status::ESME_RINVSRCADR | status::ESME_RINVSRCTON | status::ESME_RINVSRCNPI => Code::SenderNotRegistered,
        status::ESME_RINVDSTADR | status::ESME_RINVDSTTON | status::ESME_RINVDSTNPI => Code::BadRecipientFormat,
        status::ESME_RINVBNDSTS | status::ESME_RSYSERR | status::ESME_RBINDFAIL => Code::RouteDown,
        status::ESME_RALYBND | status::ESME_RINVPASWD | status::ESME_RINVSYSID | status::ESME_RINVSYSTYP => {
            Code::RouteAuthFailed
        }
        status::ESME_RMSGQFUL => Code::RouteQueueFull,
        status::ESME_RTHROTTLED => Code::RouteThrottled,
        status::ESME_RINVSCHED | status::ESME_RINVEXPIRY => Code::ScheduleOutOfRange,
        status::ESME_RX_T_APPN => Code::DeviceTempError,
        status::ESME_RX_P_APPN | status::ESME_RX_R_APPN => Code::RecipientRefused,
        status::ESME_RINVMSGID => Code::VendorDuplicateId,
        status::ESME_RINVCMDLEN
        | status::ESME_RINVCMDID
        | status::ESME_RINVPRTFLG
        | status::ESME_RINVREGDLVFLG
        | status::ESME_RINVSERTYP
        | status::ESME_RINVESMCLASS
        | status::ESME_RINVREPFLAG
        | status::ESME_RSUBMITFAIL
        | status::ESME_RINVOPTPARSTREAM
        | status::ESME_ROPTPARNOTALLWD
        | status::ESME_RINVPARLEN
        | status::ESME_RMISSINGOPTPARAM
        | status::ESME_RINVOPTPARAMVAL
        | status::ESME_RDELIVERYFAILURE
        | status::ESME_RUNKNOWNERR => Code::VendorError,
        _ => Code::UnmappedVendorCode,
    }
}

/// What a receipt makes of a message, from its state and its error number.
pub fn receipt_code(state: MessageState, err: Option<&str>) -> (Status, Code) {
    match state {
        MessageState::Enroute | MessageState::Accepted => (Status::Submitted, Code::OkSubmitted),
        MessageState::Delivered => (Status::Delivered, Code::OkDelivered),
        MessageState::Expired => (Status::Expired, error_code(err, Code::PoweredOff)),
        MessageState::Deleted => (Status::Undelivered, Code::RemovedByVendor),
        MessageState::Undeliverable => (Status::Undelivered, error_code(err, Code::RecipientUnknown)),
        MessageState::Unknown => (Status::Uncertain, Code::VendorUncertain),
        MessageState::Rejected => (Status::Undelivered, Code::RecipientRefused),
    }
}

/// The error numbers of the mobile application part (3GPP TS 29.002, 17.6.6), which most message centres pass on;
/// `usual` when there is none.
fn error_code(err: Option<&str>, usual: Code) -> Code {
    let Some(err) = err.map(str::trim).filter(|err| !err.is_empty()) else {
        return usual;
    };
    match err.parse::<u32>() {
        Ok(0) => usual,
        Ok(1 | 5) => Code::RecipientUnknown,
        Ok(9) => Code::RecipientSuspended,
        Ok(11 | 12) => Code::DeviceUnsupported,
        Ok(13) => Code::RecipientRefused,
        Ok(27) => Code::PoweredOff,
        Ok(31) => Code::DeviceBusy,
        Ok(32) => Code::DeviceTempError,
        Ok(34..=36) => Code::VendorError,
        _ => Code::UnmappedVendorCode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_status_has_its_code() {
        let table = [
            (0x00, 0),
            (0x01, 1032),
            (0x05, 7004),
            (0x08, 7001),
            (0x0A, 2001),
            (0x0B, 1020),
            (0x0D, 7001),
            (0x0E, 7004),
            (0x0F, 7004),
            (0x14, 7003),
            (0x45, 7007),
            (0x58, 7002),
            (0x61, 1009),
            (0x62, 1009),
            (0x64, 5006),
            (0xFF, 7007),
            (0x0400, 9003),
            (0xFFFF_FFFF, 9003),
        ];
        for (command_status, number) in table {
            assert_eq!(status_code(command_status).number(), number, "0x{command_status:x}");
        }
    }

    #[test]
    fn receipts_have_their_codes() {
        let table = [
            (MessageState::Delivered, Some("000"), Status::Delivered, 2),
            (MessageState::Enroute, None, Status::Submitted, 1),
            (MessageState::Accepted, None, Status::Submitted, 1),
            (MessageState::Expired, None, Status::Expired, 5001),
            (MessageState::Deleted, None, Status::Undelivered, 7011),
            (MessageState::Undeliverable, None, Status::Undelivered, 4001),
            (MessageState::Undeliverable, Some("000"), Status::Undelivered, 4001),
            (MessageState::Undeliverable, Some("001"), Status::Undelivered, 4001),
            (MessageState::Undeliverable, Some("27"), Status::Undelivered, 5001),
            (MessageState::Undeliverable, Some("E9"), Status::Undelivered, 9003),
            (MessageState::Undeliverable, Some("999"), Status::Undelivered, 9003),
            (MessageState::Rejected, None, Status::Undelivered, 4003),
            (MessageState::Unknown, None, Status::Uncertain, 7009),
        ];
        for (state, err, status, number) in table {
            let (found, code) = receipt_code(state, err);
            assert_eq!((found, code.number()), (status, number), "{state:?} {err:?}");
        }
    }
}
