// What a process needs to replace its own program; the rules at the top of CLinux.h apply here too.
#ifndef CLINUX_UPGRADE_H
#define CLINUX_UPGRADE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Interrupting a thread that waits in a system call

/// Lets clinux_interrupt_thread end a wait of the calling thread with EINTR, and returns the thread's number.
int clinux_allow_interruption(void);
/// Ends the wait of a thread, if it is waiting now; else does nothing.
int clinux_interrupt_thread(int thread);

// MARK: Descriptors

/// Lets a descriptor stay open when the program is replaced; clinux_set_close_on_exec is the opposite.
int clinux_keep_on_exec(int descriptor);
/// What makes an open file different from others: device, inode and access mode.
struct clinux_file_key {
  uint64_t device;
  uint64_t inode;
  uint64_t mode;
};
int clinux_file_key_of(int descriptor, struct clinux_file_key *key);
/// Seals a memory file from clinux_sealable_memory_file against every change.
int clinux_seal_all(int descriptor);

// MARK: Programs

/// The environment variable that tells a program that it takes over from another.
#define CLINUX_UPGRADE_VARIABLE "VFIO_USER_UPGRADE"

/// Writes the path of the running program; returns its length, or -ENAMETOOLONG.
int clinux_program_path(char *path, size_t size);
/// Opens the file of the running program, even if another file has its name by now.
int clinux_open_own_program(void);
/// Copies a program into sealed memory, from where it can be executed; -ENOEXEC for anything but a regular file.
int clinux_copy_program(int descriptor);
/// Whether a file can be executed by this process; 0 or the reason.
int clinux_can_execute(const char *path);
int clinux_pipe(int ends[2]);
/// Starts a program in a child process, with this process's arguments.
///
/// The child has /dev/null as its input, `output` as its output and error output, and `inherited`; no signal is
/// blocked or ignored. Returns its process ID.
int clinux_start_trial(const char *path, const char *upgrade, int inherited, int output);
/// Waits for a child without blocking. Returns 1 when it has ended, with its wait status; 0 while it runs.
int clinux_child_ended(int child, int *status);
void clinux_kill_child(int child);
/// What a wait status says: the exit code, or minus the number of the signal.
int clinux_exit_code(int status);
/// The calling thread's signal mask becomes that of the program that follows.
void clinux_keep_signal_mask(void);
/// Replaces the program by `path`, with this process's arguments and `upgrade` as the value of the variable. Returns only
/// on failure.
int clinux_execute(const char *path, const char *upgrade);

/// A process that has the memory of this one until the program is replaced, so that execve need not wait for the end of
/// that memory.
struct clinux_memory_holder {
  /// Its process ID; 0 if there is none.
  int process;
  int end;
  void *stack;
};
/// Starts such a process. Without it, execve takes longer. It ends when the program is replaced.
int clinux_hold_memory(struct clinux_memory_holder *holder);
/// Ends it when the program was not replaced.
void clinux_end_holder(const struct clinux_memory_holder *holder);
/// Ends it in the program that follows, and waits for its end, which may take long. A process ID of 0 is nobody's.
void clinux_await_holder(int process);

// MARK: The way back

/// From now on a crash or an exit of this process, or the end of `seconds`, executes the program in `image`. The value of
/// the variable is `upgrade` with the name of the reason behind it. Call it once.
void clinux_arm_fallback(int image, const char *upgrade, unsigned seconds);
/// Executes that program now. Returns if that fails, or nothing is armed.
void clinux_fall_back(const char *reason);
/// A crash ends the process again.
void clinux_disarm_fallback(void);

// MARK: A socket by process ID

/// Listens on the abstract socket NAME; nobody else can have it as long as it is open.
int clinux_listen_abstract(const char *name, int backlog);
/// Connects to the abstract socket NAME, which does not wait: -EAGAIN when it has no room for more callers.
int clinux_connect_abstract(const char *name);
/// Who is at the other end of a connected socket.
struct clinux_peer {
  int process;
  unsigned user;
};
int clinux_peer_of(int socket, struct clinux_peer *peer);

#ifdef __cplusplus
}
#endif
#endif
