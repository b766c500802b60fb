//! The values of `command_status` (SMPP 3.4 section 5.1.3, table 5-2).

macro_rules! statuses {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: u32 = $number;)*

        /// The constant's name for a `command_status`, or `ESME_UNKNOWN` for a value outside table 5-2.
        pub const fn status_name(status: u32) -> &'static str {
            match status {
                $($number => stringify!($name),)*
                _ => "ESME_UNKNOWN",
            }
        }
    };
}

statuses! {
    ESME_ROK = 0x00, "No error.";
    ESME_RINVMSGLEN = 0x01, "The message length is invalid.";
    ESME_RINVCMDLEN = 0x02, "The command length is invalid.";
    ESME_RINVCMDID = 0x03, "The command id is invalid.";
    ESME_RINVBNDSTS = 0x04, "The command is not allowed in this bind state.";
    ESME_RALYBND = 0x05, "The ESME is already bound.";
    ESME_RINVPRTFLG = 0x06, "The priority flag is invalid.";
    ESME_RINVREGDLVFLG = 0x07, "The registered delivery flag is invalid.";
    ESME_RSYSERR = 0x08, "System error.";
    ESME_RINVSRCADR = 0x0A, "The source address is invalid.";
    ESME_RINVDSTADR = 0x0B, "The destination address is invalid.";
    ESME_RINVMSGID = 0x0C, "The message id is invalid.";
    ESME_RBINDFAIL = 0x0D, "The bind failed.";
    ESME_RINVPASWD = 0x0E, "The password is invalid.";
    ESME_RINVSYSID = 0x0F, "The system id is invalid.";
    ESME_RCANCELFAIL = 0x11, "cancel_sm failed.";
    ESME_RREPLACEFAIL = 0x13, "replace_sm failed.";
    ESME_RMSGQFUL = 0x14, "The message queue is full.";
    ESME_RINVSERTYP = 0x15, "The service type is invalid.";
    ESME_RINVNUMDESTS = 0x33, "The number of destinations is invalid.";
    ESME_RINVDLNAME = 0x34, "The distribution list name is invalid.";
    ESME_RINVDESTFLAG = 0x40, "The destination flag is invalid (submit_multi).";
    ESME_RINVSUBREP = 0x42, "Submit with replace is invalid here.";
    ESME_RINVESMCLASS = 0x43, "The esm_class is invalid.";
    ESME_RCNTSUBDL = 0x44, "Cannot submit to the distribution list.";
    ESME_RSUBMITFAIL = 0x45, "submit_sm or submit_multi failed.";
    ESME_RINVSRCTON = 0x48, "The source address type of number is invalid.";
    ESME_RINVSRCNPI = 0x49, "The source address numbering plan is invalid.";
    ESME_RINVDSTTON = 0x50, "The destination address type of number is invalid.";
    ESME_RINVDSTNPI = 0x51, "The destination address numbering plan is invalid.";
    ESME_RINVSYSTYP = 0x53, "The system type is invalid.";
    ESME_RINVREPFLAG = 0x54, "The replace_if_present flag is invalid.";
    ESME_RINVNUMMSGS = 0x55, "The number of messages is invalid.";
    ESME_RTHROTTLED = 0x58, "The ESME has exceeded its allowed rate.";
    ESME_RINVSCHED = 0x61, "The scheduled delivery time is invalid.";
    ESME_RINVEXPIRY = 0x62, "The validity period is invalid.";
    ESME_RINVDFTMSGID = 0x63, "The predefined message is invalid or not found.";
    ESME_RX_T_APPN = 0x64, "Temporary application error of the receiver.";
    ESME_RX_P_APPN = 0x65, "Permanent application error of the receiver.";
    ESME_RX_R_APPN = 0x66, "The receiver rejects the message.";
    ESME_RQUERYFAIL = 0x67, "query_sm failed.";
    ESME_RINVOPTPARSTREAM = 0xC0, "The optional part of the PDU body is invalid.";
    ESME_ROPTPARNOTALLWD = 0xC1, "The optional parameter is not allowed here.";
    ESME_RINVPARLEN = 0xC2, "The parameter length is invalid.";
    ESME_RMISSINGOPTPARAM = 0xC3, "An expected optional parameter is missing.";
    ESME_RINVOPTPARAMVAL = 0xC4, "The optional parameter value is invalid.";
    ESME_RDELIVERYFAILURE = 0xFE, "Delivery failed (data_sm_resp).";
    ESME_RUNKNOWNERR = 0xFF, "Unknown error.";
}
