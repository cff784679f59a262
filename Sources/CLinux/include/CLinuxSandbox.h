// What a process needs to confine itself; the rules at the top of CLinux.h apply here too.
#ifndef CLINUX_SANDBOX_H
#define CLINUX_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Number of threads of this process, or -errno without /proc.
int clinux_thread_count(void);
/// Calls a function with the path of each library that is loaded; empty for the program itself.
typedef void (*clinux_object_visitor)(const char *path, void *context);
void clinux_each_loaded_object(clinux_object_visitor visitor, void *context);

// MARK: Privileges and limits

/// No program that is executed from here on gets more privileges (PR_SET_NO_NEW_PRIVS); it cannot be taken back.
int clinux_set_no_new_privileges(void);
/// Gives up all capabilities of the calling thread, for ever; also those that a program executed later could get.
int clinux_drop_capabilities(void);
/// No core dumps; limits can no more be raised, neither by a program executed later.
void clinux_freeze_limits(void);
/// Nobody gets the memory of this program, and with it the guest's: neither a program in core_pattern, which a limit of 0
/// does not keep from it, nor a debugger of the same user.
void clinux_hide_memory(void);

// MARK: Landlock (landlock(7)): what files, ports and processes can be reached

/// The version of Landlock in the kernel, from 1; -ENOSYS, or -EOPNOTSUPP when it is switched off.
int clinux_landlock_version(void);
/// A set of rules. `files`, `network` and `scopes` are what is refused unless a rule allows it (LANDLOCK_ACCESS_FS_*,
/// LANDLOCK_ACCESS_NET_*, LANDLOCK_SCOPE_*); the kernel has to know all of them.
int clinux_landlock_create(uint64_t files, uint64_t network, uint64_t scopes);
/// Allows `access` to a file, or to a folder and everything in it. What does not apply to a file is left out.
/// 1 if there is no such file, or none of a kind that has rules.
int clinux_landlock_allow(int rules, const char *path, uint64_t access);
/// Allows connections to a TCP port.
int clinux_landlock_allow_port(int rules, uint16_t port, uint64_t access);
/// The calling thread, and every thread and process that it starts later, keeps to the rules.
int clinux_landlock_enter(int rules, int version);

// MARK: seccomp (seccomp(2)): which system calls there are

/// An instruction of a filter: struct sock_filter.
struct clinux_filter_instruction {
  uint16_t code;
  uint8_t jump_if_true;
  uint8_t jump_if_false;
  uint32_t value;
};
/// All threads of the process get the filter. Needs no new privileges.
int clinux_filter_system_calls(const struct clinux_filter_instruction *instructions, unsigned count);
/// Whether the calling thread has a filter.
int clinux_has_filter(void);
/// From here on a refused system call (SECCOMP_RET_TRAP) fails with EPERM, and the first one of each number is said on
/// standard error if that does not wait.
///
/// `is_test`: the process ends instead, with exit code 159, so that no test can overlook it.
void clinux_handle_refused_calls(int is_test);

// MARK: The broker: a process that stays outside

/// A file that the broker may do something with.
struct clinux_broker_file {
  const char *path;
  /// CLINUX_BROKER_*.
  int task;
};
#define CLINUX_BROKER_REMOVE 0   ///< Removes it, if it is the same file still.
#define CLINUX_BROKER_DISCARD 1  ///< The same, until clinux_broker_settle.
#define CLINUX_BROKER_OPEN 2     ///< Opens it for reading, whatever has its name by then.

/// Starts a process that does this for the calling one, and nothing else, until that ends. Call it while there is one
/// thread. Returns the connection to it.
int clinux_broker_start(const struct clinux_broker_file *files, unsigned count);
/// From here on a file that cannot be removed is removed by the broker behind `connection`, whose files are these; the
/// memory stays the caller's and has to last.
void clinux_broker_use(int connection, const struct clinux_broker_file *files, unsigned count);
/// Asks it to remove a file; -ENOENT if that is none of its files.
int clinux_broker_remove(const char *path);
/// Asks it to open a file.
int clinux_broker_open(const char *path);
/// What was made just now stays.
void clinux_broker_settle(void);

#ifdef __cplusplus
}
#endif
#endif
