//! An assembler for BPF (RFC 9669): one method is one instruction. Registers hold 64 bits; what is loaded from fewer is
//! zero above. A jump names a label, which may come later.

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u8);

/// Results of helpers, and of the program.
pub const R0: Register = Register(0);
/// Arguments of helpers from here on; a helper spoils them. The first is the packet when the program begins.
pub const R1: Register = Register(1);
/// See [`R1`].
pub const R2: Register = Register(2);
/// See [`R1`].
pub const R3: Register = Register(3);
/// See [`R1`].
pub const R4: Register = Register(4);
/// See [`R1`].
pub const R5: Register = Register(5);
/// Kept by helpers, as are all up to [`R9`].
pub const R6: Register = Register(6);
/// See [`R6`].
pub const R7: Register = Register(7);
/// See [`R6`].
pub const R8: Register = Register(8);
/// See [`R6`].
pub const R9: Register = Register(9);
/// The end of the stack of 512 octets.
pub const FRAME: Register = Register(10);

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// How many octets are loaded or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// One.
    Byte = 0x10,
    /// Two.
    Half = 0x08,
    /// Four.
    Word = 0x00,
    /// Eight.
    Double = 0x18,
}

/// When a jump is taken; numbers have no sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum If {
    /// `==`
    Equal = 0x10,
    /// `>`
    Greater = 0x20,
    /// A common bit is set.
    AnyBit = 0x40,
    /// `!=`
    Different = 0x50,
}

/// What is done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `+`
    Add = 0x00,
    /// `-`
    Subtract = 0x10,
    /// `*`
    Multiply = 0x20,
    /// `/`
    Divide = 0x30,
    /// `&`
    And = 0x50,
    /// `<<`
    Left = 0x60,
    /// `>>`
    Right = 0x70,
    /// `^`
    Xor = 0xa0,
    /// The other value takes its place.
    Set = 0xb0,
}

/// The second operand: a number, whose sign is kept in 64 bits, or a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// A number.
    Number(i32),
    /// What a register holds.
    Of(Register),
}

impl From<i32> for Operand {
    fn from(number: i32) -> Operand {
        Operand::Number(number)
    }
}

impl From<Register> for Operand {
    fn from(register: Register) -> Operand {
        Operand::Of(register)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    number: i32,
}

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<Instruction>,
    /// Where labels stand, once they do.
    labels: Vec<Option<usize>>,
    /// Jumps by their places.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn put(&mut self, code: u8, to: Register, from: Operand, offset: i16) {
        // BPF_X is bit 3: the operand is a register.
        let (code, from, number) = match from {
            Operand::Of(from) => (code | 0x08, from.0, 0),
            Operand::Number(number) => (code, 0, number),
        };
        self.code.push(Instruction { code, to: to.0, from, offset, number });
    }

    /// A new label, which stands nowhere yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len().saturating_sub(1))
    }

    /// The label stands before the next instruction.
    pub fn here(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    /// `to = to operation with`, in 64 bits.
    pub fn alu(&mut self, operation: Operation, to: Register, with: impl Into<Operand>) {
        self.put(0x07 | operation as u8, to, with.into(), 0);
    }

    /// `to = value`
    pub fn set(&mut self, to: Register, value: impl Into<Operand>) {
        self.alu(Operation::Set, to, value);
    }

    /// `to = value`, a number of 64 bits.
    pub fn set_wide(&mut self, to: Register, value: u64) {
        self.wide(to, 0, [value as u32, (value >> 32) as u32]);
    }

    /// `to` = the map with this descriptor.
    pub fn set_map(&mut self, to: Register, descriptor: i32) {
        self.wide(to, 1, [descriptor as u32, 0]);
    }

    fn wide(&mut self, to: Register, from: u8, [low, high]: [u32; 2]) {
        self.code.push(Instruction { code: 0x18, to: to.0, from, offset: 0, number: low as i32 });
        self.code.push(Instruction { code: 0, to: 0, from: 0, offset: 0, number: high as i32 });
    }

    /// The lowest 16 bits from network to host order or back; the others become zero.
    pub fn swap_if_little(&mut self, register: Register) {
        self.code.push(Instruction { code: 0xdc, to: register.0, from: 0, offset: 0, number: 16 });
    }

    /// `to = [base + offset]`
    pub fn load(&mut self, size: Size, to: Register, (base, offset): (Register, i16)) {
        self.code.push(Instruction { code: 0x61 | size as u8, to: to.0, from: base.0, offset, number: 0 });
    }

    /// `[base + offset] = value`
    pub fn store(&mut self, size: Size, (base, offset): (Register, i16), value: impl Into<Operand>) {
        let value = value.into();
        // BPF_ST has the number, BPF_STX the register: here bit 0 tells them apart.
        let (code, from, number) = match value {
            Operand::Of(from) => (0x63, from.0, 0),
            Operand::Number(number) => (0x62, 0, number),
        };
        self.code.push(Instruction { code: code | size as u8, to: base.0, from, offset, number });
    }

    /// Jumps to the label if `left` and `right` are so.
    pub fn jump_if(&mut self, when: If, left: Register, right: impl Into<Operand>, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.put(0x05 | when as u8, left, right.into(), 0);
    }

    /// Jumps to the label.
    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.put(0x05, R0, 0.into(), 0);
    }

    /// Calls a helper of the kernel.
    pub fn call(&mut self, helper: i32) {
        self.put(0x85, R0, helper.into(), 0);
    }

    /// Ends; the result is what [`R0`] holds.
    pub fn exit(&mut self) {
        self.put(0x95, R0, 0.into(), 0);
    }

    /// `to` = where `offset` is on the stack.
    pub fn stack(&mut self, to: Register, offset: i16) {
        self.set(to, FRAME);
        self.alu(Operation::Add, to, i32::from(offset));
    }

    /// The program as the kernel takes it; `None` if it jumps to a label that stands nowhere, or too far away.
    pub fn finish(mut self) -> Option<Vec<[u8; 8]>> {
        for (at, label) in std::mem::take(&mut self.jumps) {
            let target = (*self.labels.get(label.0)?)?;
            let next = at.checked_add(1)?;
            let distance = i16::try_from(target).ok()?.checked_sub(i16::try_from(next).ok()?)?;
            self.code.get_mut(at)?.offset = distance;
        }
        Some(self.code.iter().map(Instruction::octets).collect())
    }
}

impl Instruction {
    /// `struct bpf_insn`, whose two registers are bit fields of an octet.
    fn octets(&self) -> [u8; 8] {
        let (low, high) =
            if cfg!(target_endian = "little") { (self.to, self.from) } else { (self.from, self.to) };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [n0, n1, n2, n3] = self.number.to_ne_bytes();
        [self.code, low | high << 4, o0, o1, n0, n1, n2, n3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, registers, offset, number of the only instruction.
    fn one(write: impl FnOnce(&mut Assembler)) -> (u8, u8, u8, i16, i32) {
        let mut assembler = Assembler::default();
        write(&mut assembler);
        let [i] = assembler.code[..] else { panic!("{assembler:?}") };
        (i.code, i.to, i.from, i.offset, i.number)
    }

    #[test]
    fn instructions_are_those_of_the_kernel() {
        // BPF_MOV64_REG(2, 7), BPF_ALU64_IMM(BPF_ADD, 3, -8), BPF_ALU64_REG(BPF_SUB, 9, 8)
        assert_eq!(one(|a| a.set(R2, R7)), (0xbf, 2, 7, 0, 0));
        assert_eq!(one(|a| a.alu(Operation::Add, R3, -8)), (0x07, 3, 0, 0, -8));
        assert_eq!(one(|a| a.alu(Operation::Subtract, R9, R8)), (0x1f, 9, 8, 0, 0));
        // BPF_LDX_MEM(BPF_W, 2, 6, 16), BPF_LDX_MEM(BPF_B, 2, 10, -40)
        assert_eq!(one(|a| a.load(Size::Word, R2, (R6, 16))), (0x61, 2, 6, 16, 0));
        assert_eq!(one(|a| a.load(Size::Byte, R2, (FRAME, -40))), (0x71, 2, 10, -40, 0));
        // BPF_STX_MEM(BPF_DW, 10, 1, -8), BPF_ST_MEM(BPF_H, 10, -6, 7)
        assert_eq!(one(|a| a.store(Size::Double, (FRAME, -8), R1)), (0x7b, 10, 1, -8, 0));
        assert_eq!(one(|a| a.store(Size::Half, (FRAME, -6), 7)), (0x6a, 10, 0, -6, 7));
        // BPF_EMIT_CALL, BPF_EXIT_INSN, BPF_ENDIAN(BPF_TO_BE, 8, 16)
        assert_eq!(one(|a| a.call(26)), (0x85, 0, 0, 0, 26));
        assert_eq!(one(Assembler::exit), (0x95, 0, 0, 0, 0));
        assert_eq!(one(|a| a.swap_if_little(R8)), (0xdc, 8, 0, 0, 16));
    }

    #[test]
    fn wide_numbers_and_maps_take_two_places() {
        let mut assembler = Assembler::default();
        assembler.set_wide(R4, 0x0e00_0000_0000_0053);
        assembler.set_map(R1, 9);
        let numbers: Vec<(u8, i32)> = assembler.code.iter().map(|i| (i.from, i.number)).collect();
        assert_eq!(numbers, [(0, 0x53), (0, 0x0e00_0000), (1, 9), (0, 0)]);
    }

    #[test]
    fn jumps_count_from_the_next_instruction() {
        let mut assembler = Assembler::default();
        let (back, end) = (assembler.label(), assembler.label());
        assembler.here(back);
        assembler.jump_if(If::Different, R2, IPV4_AS_LOADED, end);
        assembler.jump_if(If::Greater, R9, R2, back);
        assembler.jump(end);
        assembler.here(end);
        assembler.exit();
        let program = assembler.finish().unwrap();
        let offset = |at: usize| i16::from_ne_bytes([program[at][2], program[at][3]]);
        assert_eq!((program.len(), offset(0), offset(1), offset(2)), (4, 2, -2, 0));
        assert_eq!((program[0][0], program[1][0], program[2][0]), (0x55, 0x2d, 0x05));
    }

    const IPV4_AS_LOADED: i32 = 8;

    #[test]
    fn a_jump_to_nowhere_is_no_program() {
        let mut assembler = Assembler::default();
        let nowhere = assembler.label();
        assembler.jump(nowhere);
        assembler.exit();
        assert_eq!(assembler.finish(), None);
    }
}
