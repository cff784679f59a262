// What somebody tries who has broken into a process; for ProgramUnderTest only.
#ifndef INTRUSIONS_H
#define INTRUSIONS_H

/// What the attempts aim at.
struct intrusion_aim {
  /// A folder with the files `other` and `spare`, and a UNIX socket `socket` that listens.
  const char *folder;
  /// Another process of the same user.
  int neighbour;
  /// A TCP port on which somebody listens.
  int port;
};

int intrusion_count(void);
const char *intrusion_name(int index);
/// The errno that a sandbox answers with.
int intrusion_refusal(int index);
/// Tries one; returns its errno, 0 when it has succeeded.
int intrusion_try(int index, const struct intrusion_aim *aim);
/// Has a ring carry out an operation; returns its result.
int intrusion_of_ring(int descriptor, const unsigned *layout, int operation);

#endif
