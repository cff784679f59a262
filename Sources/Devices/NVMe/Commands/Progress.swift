/// How far a command has come: what its handler wants to be done next.
enum Progress: Equatable {
  /// It is done, with this in dword 0 of its completion.
  case done(UInt32 = 0)
  /// The slot's request is to be carried out; ``CommandSlot/work`` says what follows.
  case request
  /// Something else continues it later.
  case pending
}
