/// Connections that are made later. Landlock says to which ports TCP may connect, and has no rule for other protocols
/// nor for UNIX sockets with a path: so the protocol of a socket is looked at too.
extension SystemCallPolicy {
  /// Families of addresses.
  enum Family: UInt32 {
    case unix = 1
    case inet = 2
    case netlink = 16
    case inet6 = 10

    /// Kinds of sockets.
    enum Kind: UInt32 {
      case stream = 1
      case datagram = 2
      case raw = 3
    }

    /// The arguments of socket(2) for one kind of socket; flags are not looked at.
    func sockets(_ kind: Kind, _ protocol: UInt32) -> [Condition] {
      [.equals(0, rawValue), .bits(1, 0xF, are: kind.rawValue), .equals(2, `protocol`)]
    }
  }

  private static let tcp: UInt32 = 6
  private static let udp: UInt32 = 17

  /// Messages in a process that has no TCP sockets.
  ///
  /// Without a condition, so that the kernel checks none for each message.
  static var sending: [SystemCallRule] { allowed(.sendmsg) }

  /// SO_KEEPALIVE; TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT.
  ///
  /// libnbd sets those of TCP on UNIX sockets as well.
  private static var options: SystemCallRule {
    SystemCallRule(
      .setsockopt,
      .limited(
        [[.equals(1, 1), .equals(2, 9)]]
          + [1, 4, 5, 6, 18].map { [.equals(1, tcp), .equals(2, $0)] }))
  }

  /// Connections to UNIX sockets: any that the user of the process may open.
  static var connectingByPath: [SystemCallRule] {
    allowed(.connect) + [
      options, SystemCallRule(.socket, .limited([Family.unix.sockets(.stream, 0)])),
    ]
  }

  /// Connections by TCP, in place of ``sending``: a message that makes a connection is none that Landlock sees.
  static var connectingByTCP: [SystemCallRule] {
    allowed(.connect) + [
      options, SystemCallRule(.socket, .limited(internet(.stream, tcp))),
      SystemCallRule(.sendmsg, .limited([[.isNotFastOpen(2)]])),
    ]
  }

  /// Questions to servers of names; Landlock has no rules for datagrams.
  static var lookingUp: [SystemCallRule] {
    allowed(.connect, .bind, .uname) + [
      SystemCallRule(.sendto, .limited([[.isNotFastOpen(3)]])),
      SystemCallRule(.sendmmsg, .limited([[.isNotFastOpen(3)]])),
      SystemCallRule(
        .socket,
        .limited(
          internet(.datagram, udp) + [Family.netlink.sockets(.raw, 0)],
          // The C library asks the cache of names (nscd), and does without.
          refused: [[.equals(0, Family.unix.rawValue)]])),
      .oneOf(.ioctl, 1, [0x541B]),
      SystemCallRule(
        .setsockopt,
        .limited([[.equals(1, 0), .equals(2, 11)], [.equals(1, 41), .equals(2, 25)]])),
    ]
  }

  /// Sockets of the one protocol, named or not: a stream of MPTCP or SMC connects to TCP ports as well.
  private static func internet(_ kind: Family.Kind, _ protocol: UInt32) -> [[Condition]] {
    [Family.inet, .inet6].flatMap { family in
      [0, `protocol`].map { family.sockets(kind, $0) }
    }
  }
}
