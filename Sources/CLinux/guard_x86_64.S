// Accesses to memory that another process can take away at any time: short leaf functions. For a
// SIGBUS inside [clinux_guard_low, clinux_guard_high) the handler in guard.c continues at
// clinux_guard_fix. None of the functions touches the stack, so clinux_guard_fix can return for
// each of them. Arguments are passed in rdi, rsi and rdx; the faulting address is that of the
// guest, whichever of the two it is.
#if defined(__x86_64__)

.macro function name
  .globl \name
  .type \name, @function
  .p2align 4
\name:
.endm

  .text
  .globl clinux_guard_low, clinux_guard_high, clinux_guard_fix
  .hidden clinux_guard_low, clinux_guard_high, clinux_guard_fix
clinux_guard_low:

// int (const void *from, uintN_t *value)
function clinux_guarded_load8
  movb (%rdi), %al
  movb %al, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_load16
  movw (%rdi), %ax
  movw %ax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_load32
  movl (%rdi), %eax
  movl %eax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_load64
  movq (%rdi), %rax
  movq %rax, (%rsi)
  xorl %eax, %eax
  ret

// int (void *to, uintN_t value)
function clinux_guarded_store8
  movb %sil, (%rdi)
  xorl %eax, %eax
  ret
function clinux_guarded_store16
  movw %si, (%rdi)
  xorl %eax, %eax
  ret
function clinux_guarded_store32
  movl %esi, (%rdi)
  xorl %eax, %eax
  ret
function clinux_guarded_store64
  movq %rsi, (%rdi)
  xorl %eax, %eax
  ret

// int (void *to, const void *from, size_t count)
function clinux_guarded_copy
  movq %rdx, %rcx
  rep movsb
  xorl %eax, %eax
  ret

// int (void *to, size_t count)
function clinux_guarded_zero
  movq %rsi, %rcx
  xorl %eax, %eax
  rep stosb
  ret

// int (void *to, const void *from, size_t entries): two stores for each entry, which the processor
// shows to others in this order
function clinux_guarded_post
  testq %rdx, %rdx
  je 2f
1:
  movq (%rsi), %rax
  movq 8(%rsi), %rcx
  movq %rax, (%rdi)
  movq %rcx, 8(%rdi)
  addq $16, %rsi
  addq $16, %rdi
  decq %rdx
  jne 1b
2:
  xorl %eax, %eax
  ret

// int (void *at, uintN_t *value): stores the new value, returns the previous one in *value
function clinux_guarded_exchange8
  movb (%rsi), %al
  xchgb %al, (%rdi)
  movb %al, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_exchange16
  movw (%rsi), %ax
  xchgw %ax, (%rdi)
  movw %ax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_exchange32
  movl (%rsi), %eax
  xchgl %eax, (%rdi)
  movl %eax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_exchange64
  movq (%rsi), %rax
  xchgq %rax, (%rdi)
  movq %rax, (%rsi)
  xorl %eax, %eax
  ret

// int (void *at, uintN_t *expected, uintN_t desired): returns the previous value in *expected
function clinux_guarded_compare_exchange8
  movb (%rsi), %al
  lock cmpxchgb %dl, (%rdi)
  movb %al, (%rsi)
  movl $0, %eax
  ret
function clinux_guarded_compare_exchange16
  movw (%rsi), %ax
  lock cmpxchgw %dx, (%rdi)
  movw %ax, (%rsi)
  movl $0, %eax
  ret
function clinux_guarded_compare_exchange32
  movl (%rsi), %eax
  lock cmpxchgl %edx, (%rdi)
  movl %eax, (%rsi)
  movl $0, %eax
  ret
function clinux_guarded_compare_exchange64
  movq (%rsi), %rax
  lock cmpxchgq %rdx, (%rdi)
  movq %rax, (%rsi)
  movl $0, %eax
  ret

// int (void *at, uintN_t *bits): sets the bits, returns the previous value in *bits
function clinux_guarded_fetch_or8
  movb (%rdi), %al
1:
  movb %al, %cl
  orb (%rsi), %cl
  lock cmpxchgb %cl, (%rdi)
  jne 1b
  movb %al, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_fetch_or16
  movw (%rdi), %ax
1:
  movw %ax, %cx
  orw (%rsi), %cx
  lock cmpxchgw %cx, (%rdi)
  jne 1b
  movw %ax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_fetch_or32
  movl (%rdi), %eax
1:
  movl %eax, %ecx
  orl (%rsi), %ecx
  lock cmpxchgl %ecx, (%rdi)
  jne 1b
  movl %eax, (%rsi)
  xorl %eax, %eax
  ret
function clinux_guarded_fetch_or64
  movq (%rdi), %rax
1:
  movq %rax, %rcx
  orq (%rsi), %rcx
  lock cmpxchgq %rcx, (%rdi)
  jne 1b
  movq %rax, (%rsi)
  xorl %eax, %eax
  ret

clinux_guard_high:
clinux_guard_fix:
  movl $-14, %eax  // -EFAULT
  ret

#endif
  .section .note.GNU-stack, "", %progbits
