/// The vectors of one index (MSI, MSI-X, ERR or REQ): who hears of each, and what keeps it back.
///
/// A vector is kept back by the client (SET_IRQS), by the guest (mask bits, or the MSI-X table), or with
/// all others (the function mask). What is kept back is pending, and delivered when the last mask goes.
/// Without an eventfd a vector goes nowhere, unless the guest has enabled the index: then it is
/// pending until the client, which is about to set eventfds, has done so.
struct InterruptVectors {
  private var counters: [EventFD?]
  private var maskedByClient: BitWords
  private(set) var pending: BitWords
  /// Mask bits of MSI, or of the MSI-X table once it was written.
  var maskedByGuest: BitWords
  /// The function mask of MSI-X.
  var isFunctionMasked = false
  /// The enable bit of the capability.
  var isEnabledByGuest = false
  /// How many vectors have an eventfd.
  private(set) var assignedCount = 0

  var count: Int { counters.count }

  init(count: Int) {
    counters = Array(repeating: nil, count: count)
    maskedByClient = BitWords(count: count)
    maskedByGuest = BitWords(count: count)
    pending = BitWords(count: count)
  }

  func isMasked(_ vector: Int) -> Bool {
    isFunctionMasked || maskedByClient[vector] || maskedByGuest[vector]
  }

  /// Signals a vector or notes it as pending.
  mutating func signal(_ vector: Int) {
    guard counters.indices ~= vector else { return }
    if isMasked(vector) {
      pending[vector] = true
    } else if let counter = counters[vector] {
      counter.signal()
    } else if isEnabledByGuest {
      pending[vector] = true
    }
  }

  /// Signals a vector whatever keeps it back: the client asked for it.
  func trigger(_ vector: Int) { counters[vector]?.signal() }

  mutating func setMasked(_ vector: Int, _ isMasked: Bool) {
    maskedByClient[vector] = isMasked
    deliver(vector)
  }

  mutating func assign(_ counter: EventFD?, to vector: Int) {
    assignedCount += (counter == nil ? 0 : 1) - (counters[vector] == nil ? 0 : 1)
    counters[vector] = counter
    deliver(vector)
  }

  /// Delivers a vector that is pending, if nothing keeps it back any more.
  private mutating func deliver(_ vector: Int) {
    guard pending[vector], !isMasked(vector), let counter = counters[vector] else { return }
    pending[vector] = false
    counter.signal()
  }

  /// Delivers all that is pending and not kept back any more.
  mutating func deliverPending() {
    guard pending.isAnySet else { return }
    for vector in counters.indices { deliver(vector) }
  }

  /// The guest switched the index on or off; what is pending does not survive the latter.
  mutating func setEnabled(_ isEnabled: Bool) {
    if isEnabledByGuest, !isEnabled { pending.clear() }
    isEnabledByGuest = isEnabled
  }

  /// The client wants to hear nothing more, or has gone.
  mutating func disconnect() {
    for vector in counters.indices { counters[vector] = nil }
    assignedCount = 0
    maskedByClient.clear()
    pending.clear()
  }

  /// Nothing masked, nothing pending; eventfds stay.
  mutating func reset() {
    maskedByClient.clear()
    maskedByGuest.clear()
    pending.clear()
    isFunctionMasked = false
    isEnabledByGuest = false
  }
}

/// Bits by number, 64 in a word, as the PBA has them.
struct BitWords {
  private(set) var words: [UInt64]

  init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

  subscript(_ bit: Int) -> Bool {
    get { words[bit / 64] >> UInt64(bit % 64) & 1 != 0 }
    set {
      let mask: UInt64 = 1 << UInt64(bit % 64)
      words[bit / 64] = newValue ? words[bit / 64] | mask : words[bit / 64] & ~mask
    }
  }

  var isAnySet: Bool { words.contains { $0 != 0 } }

  mutating func clear() {
    for index in words.indices { words[index] = 0 }
  }
}
