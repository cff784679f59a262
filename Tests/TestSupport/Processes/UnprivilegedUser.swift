import Glibc

/// Gives up privileges for a user that nobody else has; false if that failed.
///
/// The kernel counts the descriptors in flight of a user, and those of other processes count too (unix(7)).
public func becomeLoneUser() -> Bool {
  geteuid() != 0 || setuid(uid_t(1_000_000 + getpid())) == 0
}
