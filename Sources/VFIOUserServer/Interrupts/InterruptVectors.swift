/// The vectors of one index (MSI, MSI-X, ERR or REQ): the eventfd of each, and what masks it.
///
/// A vector is masked by the client (SET_IRQS), by the guest (mask bits, or the MSI-X table), or with all
/// others by the function mask. A masked vector that is signalled becomes pending, and is delivered when its
/// last mask is cleared. A vector without an eventfd is dropped, unless the guest has enabled the index: then
/// it is pending until the client has set its eventfds.
struct InterruptVectors {
  private(set) var counters: [EventFD?]
  private(set) var maskedByClient: BitWords
  private(set) var pending: BitWords
  /// Mask bits of MSI, or of the MSI-X table if it was written to.
  var maskedByGuest: BitWords
  /// The function mask of MSI-X.
  var isFunctionMasked = false
  /// The enable bit of the capability.
  var isEnabledByGuest = false
  /// Number of vectors with an eventfd.
  private(set) var assignedCount = 0
  /// Number of signals that were sent.
  private(set) var signals: UInt64 = 0

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

  /// Signals a vector, or sets its pending bit.
  mutating func signal(_ vector: Int) {
    guard counters.indices ~= vector else { return }
    if isMasked(vector) {
      pending[vector] = true
    } else if let counter = counters[vector] {
      send(counter)
    } else if isEnabledByGuest {
      pending[vector] = true
    }
  }

  /// Signals a vector regardless of masks, because the client asked for it.
  mutating func trigger(_ vector: Int) {
    if let counter = counters[vector] { send(counter) }
  }

  private mutating func send(_ counter: EventFD) {
    counter.signal()
    signals &+= 1
  }

  mutating func setMasked(_ vector: Int, _ isMasked: Bool) {
    maskedByClient[vector] = isMasked
    deliver(vector)
  }

  mutating func assign(_ counter: EventFD?, to vector: Int) {
    assignedCount += (counter == nil ? 0 : 1) - (counters[vector] == nil ? 0 : 1)
    counters[vector] = counter
    deliver(vector)
  }

  /// Continues with eventfds and masks of a client whose connection is taken over.
  mutating func resume(_ counters: [EventFD?], maskedByClient words: [UInt64]) {
    self.counters = counters
    assignedCount = counters.count { $0 != nil }
    maskedByClient.words = words
  }

  /// Delivers a vector if it is pending and no longer masked.
  private mutating func deliver(_ vector: Int) {
    guard pending[vector], !isMasked(vector), let counter = counters[vector] else { return }
    pending[vector] = false
    send(counter)
  }

  /// Delivers all vectors that are pending and no longer masked.
  mutating func deliverPending() {
    guard pending.isAnySet else { return }
    for vector in counters.indices { deliver(vector) }
  }

  /// Takes over what was pending elsewhere, and delivers what nothing keeps back.
  mutating func load(pending words: [UInt64]) {
    pending.words = words
    deliverPending()
  }

  /// Sets whether the guest has enabled the index; disabling it clears the pending bits.
  mutating func setEnabled(_ isEnabled: Bool) {
    if isEnabledByGuest, !isEnabled { pending.clear() }
    isEnabledByGuest = isEnabled
  }

  /// Removes the eventfds and the client's masks.
  mutating func disconnect() {
    for vector in counters.indices { counters[vector] = nil }
    assignedCount = 0
    maskedByClient.clear()
    pending.clear()
  }

  /// Clears masks and pending bits; eventfds stay.
  mutating func reset() {
    maskedByClient.clear()
    maskedByGuest.clear()
    pending.clear()
    isFunctionMasked = false
    isEnabledByGuest = false
  }
}

/// Bits by number, 64 in a word, as in the PBA.
struct BitWords {
  var words: [UInt64]

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
