//! Hiding of AVP values (RFC 3931 5.3).
