//! Channel: JSON over a Unix packet socket, one object in each packet, with descriptors attached; the calls of a child are
//! packets of numbers. `nursery.py` documents the messages.
//!
//! The peer may be hostile: no call waits, and the size of a packet is limited.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recv, recvmsg,
    sendmsg, setsockopt, socketpair,
};
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;

/// The largest packet. The kernel cuts a longer one, and then it is not JSON.
const PACKET: usize = 1 << 16;

/// The judge's end of a packet socket.
#[derive(Debug)]
pub struct Channel {
    pub socket: OwnedFd,
    /// A buffer for packets: to allocate it for each check would cost more than the check.
    packet: RefCell<Vec<u8>>,
}

#[derive(Debug, PartialEq)]
pub enum Received {
    Message(Value),
    /// The beginning of a packet that is not JSON.
    Garbage(String),
    Closed,
    Nothing,
}

impl Channel {
    /// Creates a channel; returns it with the descriptor of the peer's end.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self { socket: ours, packet: RefCell::new(vec![0; PACKET]) }, theirs))
    }

    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_packet(&serde_json::to_vec(message)?, descriptors)
    }

    pub fn send_packet(&self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(packet)], rights, flags, None)?;
        Ok(())
    }

    /// Has the kernel tell who sent a packet.
    pub fn tell_senders(&self) -> io::Result<()> {
        Ok(setsockopt(&self.socket, PassCred, &true)?)
    }

    pub fn tell_no_senders(&self) -> io::Result<()> {
        Ok(setsockopt(&self.socket, PassCred, &false)?)
    }

    /// The sender of the next packet, which stays to be received, as this process sees it. `None` if there is no packet.
    pub fn sender(&self) -> io::Result<Option<Pid>> {
        let mut space = cmsg_space!(UnixCredentials);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let packet = match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Ok(packet) => packet,
            Err(Errno::EAGAIN | Errno::ECONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let sender = packet.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        Ok(sender.filter(|pid| *pid > 0).map(Pid::from_raw))
    }

    /// Receives the next packet if there is one; never waits.
    pub fn receive(&self) -> io::Result<Received> {
        let mut packet = self.packet.borrow_mut();
        let length = match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
        };
        let packet = &packet[..length];
        Ok(match serde_json::from_slice(packet) {
            Ok(message) => Received::Message(message),
            Err(_) => Received::Garbage(String::from_utf8_lossy(&packet[..length.min(200)]).into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::send;

    #[test]
    fn packets_keep_their_bounds_and_order() {
        let (channel, other) = Channel::pair().unwrap();
        assert_eq!(channel.receive().unwrap(), Received::Nothing);
        for packet in [&b"{\"a\":1}"[..], b"[2]", b"not json"] {
            send(other.as_raw_fd(), packet, MsgFlags::empty()).unwrap();
        }
        assert_eq!(channel.receive().unwrap(), Received::Message(serde_json::json!({"a": 1})));
        assert_eq!(channel.receive().unwrap(), Received::Message(serde_json::json!([2])));
        assert_eq!(channel.receive().unwrap(), Received::Garbage("not json".to_owned()));
        drop(other);
        assert_eq!(channel.receive().unwrap(), Received::Closed);
    }

    #[test]
    fn the_kernel_tells_who_sent_a_packet() {
        let (channel, other) = Channel::pair().unwrap();
        channel.tell_senders().unwrap();
        assert_eq!(channel.sender().unwrap(), None);
        send(other.as_raw_fd(), b"[1]", MsgFlags::empty()).unwrap();
        assert_eq!(channel.sender().unwrap(), Some(Pid::this()));
        assert_eq!(channel.receive().unwrap(), Received::Message(serde_json::json!([1])));
    }

    #[test]
    fn sending_to_a_closed_end_is_an_error_and_not_a_signal() {
        let (channel, other) = Channel::pair().unwrap();
        drop(other);
        assert!(channel.send(&serde_json::json!({}), &[]).is_err());
    }
}
