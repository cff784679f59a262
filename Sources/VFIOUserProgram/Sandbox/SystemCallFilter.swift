internal import CLinux

/// A program for seccomp that lets the calls of a list through: a binary search for the number, then the conditions.
///
/// Calls that are allowed whatever their arguments are never get here: the kernel sees that, and keeps a bitmap of them.
struct SystemCallFilter {
  typealias Instruction = clinux_filter_instruction

  let instructions: [Instruction]
  /// Number of calls that are allowed.
  let count: Int

  /// - Parameter rules: in any order; of several for one call the widest counts.
  init(_ rules: [SystemCallRule]) {
    let table = Self.merged(rules)
    count = table.count(where: \.isAllowed)
    instructions =
      [
        .load(Offset.architecture), .ifEqual(Self.x86, then: 1, otherwise: 0), .end(Action.kill),
        .load(Offset.number),
        // The x32 interface, which nobody here uses.
        .ifAtLeast(0x4000_0000, then: 0, otherwise: 1), .end(Action.kill),
        // Calls that are newer than this list: libraries that try one have another way.
        .ifAtLeast(Self.firstUnknown, then: 0, otherwise: 1), .end(Action.missing),
      ] + Self.search(table[...])
  }

  /// The numbers from here on had no meaning when this was written.
  static let firstUnknown: UInt32 = 470
  private static let x86: UInt32 = 0xC000_003E

  /// What seccomp does with a call (SECCOMP_RET_*).
  enum Action {
    static let allow: UInt32 = 0x7FFF_0000
    static let kill: UInt32 = 0x8000_0000
    static let trap: UInt32 = 0x0003_0000
    static let refuse: UInt32 = 0x0005_0000 | 1
    static let missing: UInt32 = 0x0005_0000 | 38
  }

  /// Where struct seccomp_data has what.
  private enum Offset {
    static let number: UInt32 = 0
    static let architecture: UInt32 = 4
    static func low(_ argument: Int) -> UInt32 { 16 + 8 * UInt32(argument) }
    static func high(_ argument: Int) -> UInt32 { low(argument) + 4 }
  }

  private static func merged(_ rules: [SystemCallRule]) -> [SystemCallRule] {
    var table: [SystemCall: SystemCallRule] = [:]
    for rule in rules {
      table[rule.call] = table[rule.call].map { $0.widened(by: rule) } ?? rule
    }
    return table.values.sorted { $0.call < $1.call }
  }

  private static func search(_ rules: ArraySlice<SystemCallRule>) -> [Instruction] {
    guard let first = rules.first else { return [.end(Action.trap)] }
    guard rules.count > 1 else {
      return [.ifEqual(first.call.number, then: 1, otherwise: 0), .end(Action.trap)] + body(first)
    }
    let middle = rules.startIndex + rules.count / 2
    let lower = search(rules[..<middle])
    return [
      .ifAtLeast(rules[middle].call.number, then: 0, otherwise: 1), .skip(UInt32(lower.count)),
    ] + lower + search(rules[middle...])
  }

  private static func body(_ rule: SystemCallRule) -> [Instruction] {
    switch rule.verdict {
    case .allowed: [.end(Action.allow)]
    case .missing: [.end(Action.missing)]
    case .refused: [.end(Action.refuse)]
    case .limited(let alternatives, let refused):
      alternatives.flatMap { tests($0, Action.allow) }
        + refused.flatMap { tests($0, Action.refuse) } + [.end(Action.trap)]
    }
  }

  /// Ends with the action if all conditions hold, and else continues behind itself.
  private static func tests(
    _ conditions: [SystemCallRule.Condition], _ action: UInt32
  ) -> [Instruction] {
    let steps = conditions.flatMap { one in
      [(Offset.low(one.argument), one.mask, one.value)]
        + (one.mask >> 32 == 0
          ? [] : [(Offset.high(one.argument), one.mask >> 32, one.value >> 32)])
    }
    return steps.enumerated().flatMap { index, step in
      // Three for each step that is left, and the end.
      let rest = UInt8(3 * (steps.count - index - 1) + 1)
      return [
        .load(step.0), .and(UInt32(truncatingIfNeeded: step.1)),
        .ifEqual(UInt32(truncatingIfNeeded: step.2), then: 0, otherwise: rest),
      ] as [Instruction]
    } + [.end(action)]
  }
}

extension SystemCallRule {
  fileprivate var isAllowed: Bool {
    switch verdict {
    case .allowed, .limited: true
    case .missing, .refused: false
    }
  }

  fileprivate func widened(by other: Self) -> Self {
    switch (verdict, other.verdict) {
    case (.limited(let some, let refused), .limited(let more, let others)):
      Self(call, .limited(some + more, refused: refused + others))
    case (.allowed, _), (_, .missing), (_, .refused): self
    default: other
    }
  }
}

extension clinux_filter_instruction {
  private init(_ code: UInt16, _ value: UInt32, _ yes: UInt8 = 0, _ no: UInt8 = 0) {
    self.init(code: code, jump_if_true: yes, jump_if_false: no, value: value)
  }

  /// BPF_LD | BPF_W | BPF_ABS.
  fileprivate static func load(_ offset: UInt32) -> Self { Self(0x20, offset) }
  /// BPF_ALU | BPF_AND | BPF_K.
  fileprivate static func and(_ mask: UInt32) -> Self { Self(0x54, mask) }
  /// BPF_JMP | BPF_JEQ | BPF_K.
  fileprivate static func ifEqual(_ value: UInt32, then yes: UInt8, otherwise no: UInt8) -> Self {
    Self(0x15, value, yes, no)
  }
  /// BPF_JMP | BPF_JGE | BPF_K.
  fileprivate static func ifAtLeast(
    _ value: UInt32, then yes: UInt8, otherwise no: UInt8
  ) -> Self { Self(0x35, value, yes, no) }
  /// BPF_JMP | BPF_JA.
  fileprivate static func skip(_ count: UInt32) -> Self { Self(0x05, count) }
  /// BPF_RET | BPF_K.
  fileprivate static func end(_ action: UInt32) -> Self { Self(0x06, action) }
}
