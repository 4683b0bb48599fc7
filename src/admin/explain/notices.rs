//! Messages of level info and debug: what goes on, mostly without anything to be done.

use super::about::{about, Explanation};

const NOTHING: &str = "Nothing: this is how it should be.";
const NOTHING_JA: &str = "対処は不要です。正常な動作です。";

/// M-047 to M-088.
pub(super) static TABLE: &[Explanation] = &[
    about(
        "M-047",
        ["The log kept in memory is full; messages older than the next line are gone from it.",
         "Raise log-buffer to keep more; the system's log has them all."],
        ["メモリ内のログが一杯になり、次の行より古いメッセージは失われました。",
         "多く残すにはlog-bufferを増やしてください。システムのログには全部あります。"],
    ),
    about(
        "M-048",
        ["The daemon got this signal: 1 reads the configuration again, 2 and 15 end it, 10 logs the status, 12 \
          switches debug messages.",
         NOTHING],
        ["このシグナルを受け取りました。1は設定の再読み込み、2と15は終了、10は状態の記録、12はデバッグの切り替え\
          です。", NOTHING_JA],
    ),
    about(
        "M-049",
        ["A session is being set up in this tunnel.", NOTHING],
        ["このトンネルの中でセッションの確立を始めました。", NOTHING_JA],
    ),
    about(
        "M-050",
        ["The tunnel of this name is being set up towards this address.",
         "If the same line comes again and again, `l2tpctl explain tunnel NAME` says why it fails."],
        ["この名前のトンネルを、このアドレスに向けて確立し始めました。",
         "同じ行が何度も出るときは、`l2tpctl explain tunnel NAME`で失敗の理由が分かります。"],
    ),
    about(
        "M-051",
        ["A control connection came into being, for an attempt of ours or an SCCRQ of the peer.", NOTHING],
        ["こちらの接続開始または対向のSCCRQにより、コントロールコネクションを作りました。", NOTHING_JA],
    ),
    about(
        "M-052",
        ["Both ends called each other at once, and the peer's call goes on; ours is given up.", NOTHING],
        ["両側が同時に接続を始め、対向の要求を優先することになりました。こちらの要求は取り下げます。", NOTHING_JA],
    ),
    about(
        "M-053",
        ["Both ends called each other at once, and our call goes on; the peer's is refused.", NOTHING],
        ["両側が同時に接続を始め、こちらの要求を優先することになりました。対向の要求は断ります。", NOTHING_JA],
    ),
    about(
        "M-054",
        ["The daemon is ending: it tells every peer and removes its interfaces, sockets and files.",
         "Unexpected? The line before shows the signal or the failure."],
        ["終了処理を始めました。全ての対向に知らせ、インタフェース・ソケット・ファイルを片付けます。",
         "意図しない終了なら、直前の行のシグナルやエラーを見てください。"],
    ),
    about(
        "M-055",
        ["The daemon has ended in good order.", NOTHING],
        ["正常に終了しました。", NOTHING_JA],
    ),
    about(
        "M-056",
        ["A received message has brought a tunnel or session into this state.",
         "ESTABLISHED means up. A StopCCN or CDN means that the peer ended it: its log knows why."],
        ["受け取ったメッセージにより、トンネルまたはセッションがこの状態になりました。",
         "ESTABLISHEDなら確立です。StopCCNやCDNは対向による切断で、理由は対向のログにあります。"],
    ),
    about(
        "M-057",
        ["A message was sent, and the tunnel or session is in this state now.",
         "If it stays in a WAIT state, the peer does not answer: check the path and the peer."],
        ["メッセージを送り、トンネルまたはセッションがこの状態になりました。",
         "WAITの状態から進まなければ、対向が応答していません。経路と対向を確認してください。"],
    ),
    about(
        "M-058",
        ["A control packet without a length field was dropped.",
         "Damage or a foreign packet; a fault of the peer if it repeats."],
        ["長さの欄が無い制御パケットを捨てました。",
         "破損か無関係なパケットです。続くなら対向の不具合です。"],
    ),
    about(
        "M-059",
        ["A control packet without sequence numbers was dropped.",
         "Damage or a foreign packet; a fault of the peer if it repeats."],
        ["順序番号の欄が無い制御パケットを捨てました。",
         "破損か無関係なパケットです。続くなら対向の不具合です。"],
    ),
    about(
        "M-060",
        ["A packet for the control connection is not marked as a control message; it was dropped.",
         "Damage or a foreign packet; a fault of the peer if it repeats."],
        ["コントロールコネクション宛てのパケットに制御メッセージの印が無いため捨てました。",
         "破損か無関係なパケットです。続くなら対向の不具合です。"],
    ),
    about(
        "M-061",
        ["A peer was to be cleared to whose address no tunnel is up.",
         "The next line says whether one is configured; `l2tpctl status` lists the tunnels and their addresses."],
        ["切断しようとしたアドレスへの、確立中または確立済みのトンネルがありません。",
         "設定にあるかどうかは次の行が示します。トンネルとアドレスは`l2tpctl status`で確認できます。"],
    ),
    about(
        "M-062",
        ["A session was to be cleared on an interface on which none is up.",
         "The next line says whether one is configured; `l2tpctl status` lists the interfaces."],
        ["切断しようとしたインタフェースに、確立中または確立済みのセッションがありません。",
         "設定にあるかどうかは次の行が示します。インタフェースは`l2tpctl status`で確認できます。"],
    ),
    about(
        "M-063",
        ["A packet of another version of L2TP was dropped.",
         "Set the peer to L2TPv3; L2TPv2 (PPP access) is another service."],
        ["L2TPv3ではない版のパケットを捨てました。",
         "対向をL2TPv3に設定してください。L2TPv2(PPP)は別のサービスです。"],
    ),
    about(
        "M-064",
        ["The configuration was read, and this setting is in force for this tunnel (a password is masked).", NOTHING],
        ["設定を読み、このトンネルのこの項目を受け入れました(パスワードは伏せます)。", NOTHING_JA],
    ),
    about(
        "M-065",
        ["The administrator cleared the session of this interface; it is set up again at once.",
         NOTHING],
        ["管理者の操作で、このインタフェースのセッションを切断しました。すぐに再び確立します。",
         NOTHING_JA],
    ),
    about(
        "M-066",
        ["The administrator cleared the tunnel to this address; it is set up again at once.", NOTHING],
        ["管理者の操作で、このアドレスへのトンネルを切断しました。すぐに再び確立します。",
         NOTHING_JA],
    ),
    about(
        "M-067",
        ["The peer sent a message of an outgoing call, which is not supported; it was ignored.",
         "Switch outgoing calls off at the peer; Ethernet pseudowires use incoming calls."],
        ["対応していない発信コールのメッセージ(OCCN)を受け取り、無視しました。",
         "対向で発信コールを止めてください。Ethernet疑似回線は着信コールを使います。"],
    ),
    about(
        "M-068",
        ["The peer answered an outgoing call, and none was made: those are not supported.",
         "Switch outgoing calls off at the peer; Ethernet pseudowires use incoming calls."],
        ["発信コールの応答(OCRP)を受け取りましたが、発信コールには対応していません。",
         "対向で発信コールを止めてください。Ethernet疑似回線は着信コールを使います。"],
    ),
    about(
        "M-069",
        ["The peer asked for an outgoing call, which is not supported; it was refused with CDN.",
         "Switch outgoing calls off at the peer; Ethernet pseudowires use incoming calls."],
        ["対応していない発信コールの要求(OCRQ)を受け取り、CDNで断りました。",
         "対向で発信コールを止めてください。Ethernet疑似回線は着信コールを使います。"],
    ),
    about(
        "M-070",
        ["This is the end id that the peer asked for and that no session block of the tunnel has.",
         "Add a session with this remote-end-id, or correct it at one end."],
        ["対向が求めたend-idです。このトンネルの設定には該当するセッションがありません。",
         "このremote-end-idのセッションを追加するか、どちらかの設定を直してください。"],
    ),
    about(
        "M-071",
        ["The peer asked for a configured session, and it is made now.", NOTHING],
        ["対向が設定済みのセッションを求めたので、新しく作ります。", NOTHING_JA],
    ),
    about(
        "M-072",
        ["The tunnel of this name goes out of service, and all its sessions with it.",
         "The lines before tell why; `l2tpctl explain tunnel NAME` sums it up."],
        ["この名前のトンネルと、その全てのセッションを止めます。",
         "理由は前の行にあります。`l2tpctl explain tunnel NAME`でもまとめて見られます。"],
    ),
    about(
        "M-073",
        ["Both ends called each other at once: these are the numbers that decide, and the lower one wins.", NOTHING],
        ["両側が同時に接続を始めました。この二つの値を比べ、小さい方を優先します。", NOTHING_JA],
    ),
    about(
        "M-074",
        ["A control connection that ended was kept for repeated messages; its time is over now.", NOTHING],
        ["終了後も再送に備えて残していたコントロールコネクションを消しました。", NOTHING_JA],
    ),
    about(
        "M-075",
        ["Both ends drew the same number; both give up and try again with new ones.",
         "If this repeats, our own packets may come back to us: check for a loop, or a peer with our address."],
        ["両側の値が同じでした。双方とも取り下げ、新しい値でやり直します。",
         "続く場合は、自分のパケットが戻っている(ループやアドレスの重複)可能性があります。"],
    ),
    about(
        "M-076",
        ["This tunnel is taken down because the peer acknowledged nothing; M-015 is logged with it.",
         "Check the path to the peer and the peer itself; see M-015."],
        ["対向から確認応答が無いため、このトンネルを切断します。M-015と同時に出ます。",
         "対向までの経路と対向の動作を確認してください。M-015も見てください。"],
    ),
    about(
        "M-077",
        ["The peer sent an AVP that is not known here and that may be ignored; it was.", NOTHING],
        ["対向が送った未知のAVPは必須ではないため、無視しました。", NOTHING_JA],
    ),
    about(
        "M-078",
        ["The peer acknowledged our messages.", NOTHING],
        ["対向がこちらのメッセージに確認応答しました。", NOTHING_JA],
    ),
    about(
        "M-079",
        ["The peer asked whether we are there, and got its answer.", NOTHING],
        ["対向の生存確認に応答しました。", NOTHING_JA],
    ),
    about(
        "M-080",
        ["A message was sent that changes no state.", NOTHING],
        ["状態を変えないメッセージを送りました。", NOTHING_JA],
    ),
    about(
        "M-081",
        ["A message was sent; the number counts its transmissions.",
         "A number above 1 means that no acknowledgement had come: look for loss on the way."],
        ["メッセージを送りました。括弧の数は何回目の送信かを示します。",
         "2以上なら確認応答が届いていません。経路での損失を調べてください。"],
    ),
    about(
        "M-082",
        ["A message came twice or before its turn. Repeated ones are acknowledged again, early ones wait.",
         "Harmless now and then; often means loss or reordering on the way."],
        ["同じメッセージが再び届いたか、順番より先に届きました。重複には再び応答し、先のものは待たせます。",
         "時々なら無害です。多い場合は経路で損失や順序の入れ替わりがあります。"],
    ),
    about(
        "M-083",
        ["A peer with an established tunnel asks for a new one: it has probably restarted. The old one stays until \
          the new one has proved itself.",
         "Nothing, unless it repeats: then two devices may use the same address."],
        ["確立済みの対向が新しいトンネルを求めています。対向が再起動したと思われます。新しい方が確かめられるまで\
          古い方を残します。",
         "通常は対処不要です。続く場合は、同じアドレスの機器が二つある可能性があります。"],
    ),
    about(
        "M-084",
        ["The session of this name goes out of service; its interface loses its carrier.",
         "The lines before tell why; a session of ours is set up again by itself."],
        ["この名前のセッションを止め、インタフェースのリンクを落とします。",
         "理由は前の行にあります。こちらから始めたセッションは自動で再び確立します。"],
    ),
    about(
        "M-085",
        ["A session that ended is forgotten; its id is free again.", NOTHING],
        ["終了したセッションを消しました。IDは再び使えます。", NOTHING_JA],
    ),
    about(
        "M-086",
        ["The daemon has started: the configuration is read, the sockets are open.", NOTHING],
        ["起動しました。設定の読み込みとソケットの準備が済んでいます。", NOTHING_JA],
    ),
    about(
        "M-087",
        ["A control connection got this id from us; the peer puts it into every message to us.", NOTHING],
        ["こちらのコントロールコネクションIDが決まりました。対向は以後のメッセージにこの値を入れます。", NOTHING_JA],
    ),
    about(
        "M-088",
        ["Both ends asked for the same session at once: these are the numbers that decide, and the lower one wins.",
         NOTHING],
        ["両側が同じセッションを同時に求めました。この二つの値を比べ、小さい方を優先します。", NOTHING_JA],
    ),
];
