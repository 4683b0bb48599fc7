//! Messages of level warn: the peer or the network did something wrong.

use super::about::{about, Explanation};

/// M-026 to M-046.
pub(super) static TABLE: &[Explanation] = &[
    about(
        "M-026",
        ["The peer sent an AVP of a vendor that is not known here. If it is marked mandatory, the session or tunnel \
          is refused, else the AVP is ignored.",
         "Switch that extension off at the peer. For Cisco's own AVPs see the tag compatibility."],
        ["対向が未知のベンダのAVPを送りました。必須の印があれば拒否し、無ければ無視します。",
         "対向でその拡張を止めてください。Cisco独自のAVPについてはcompatibilityを見てください。"],
    ),
    about(
        "M-027",
        ["The peer signs its messages with another algorithm than HMAC-MD5; that digest is not looked at.",
         "Set the peer to HMAC-MD5; with a password here, messages without such a digest are dropped."],
        ["対向のメッセージダイジェストがHMAC-MD5ではないため、そのダイジェストを無視します。",
         "対向をHMAC-MD5に設定してください。こちらにpasswordがあると、ほかの方式のメッセージは捨てられます。"],
    ),
    about(
        "M-028",
        ["The peer assigned a cookie that is neither 4 nor 8 octets long.",
         "The peer breaks RFC 3931; look for an update of it, or switch cookies off at both ends."],
        ["対向が割り当てたCookieの長さが4でも8でもありません。",
         "対向がRFC 3931に反しています。更新を探すか、両側でcookieを切ってください。"],
    ),
    about(
        "M-029",
        ["A message arrived whose type is defined somewhere but not handled here.",
         "The peer uses a function beyond Ethernet pseudowires; switch it off there."],
        ["定義はあるものの、ここでは扱わない種類のメッセージを受け取りました。",
         "対向がEthernet疑似回線以外の機能を使っています。対向でその機能を止めてください。"],
    ),
    about(
        "M-030",
        ["A length inside a received message does not fit the message; it was dropped whole and not acknowledged.",
         "One such packet may be damage or an attack; if they repeat, capture them with `l2tpctl trace` and look at \
          the peer's software."],
        ["受け取ったメッセージの中の長さが全体と合わないため、確認応答もせずに捨てました。",
         "一度だけなら破損や攻撃の可能性があります。続くなら`l2tpctl trace`で採り、対向のソフトウェアを調べて\
          ください。"],
    ),
    about(
        "M-031",
        ["The peer put an AVP into a message where it does not belong; the AVP was ignored, the message processed.",
         "Nothing need be done unless something does not work; it is a fault of the peer."],
        ["対向が、そのメッセージには置けないAVPを入れています。AVPだけを無視して処理を続けました。",
         "支障がなければ対処は不要です。対向側の不具合です。"],
    ),
    about(
        "M-032",
        ["A message of a type that nobody has defined arrived. If it is marked mandatory, the tunnel is closed.",
         "Check the peer's software and its vendor-specific settings."],
        ["定義されていない種類のメッセージを受け取りました。必須の印があればトンネルを閉じます。",
         "対向のソフトウェアとベンダ独自の設定を確認してください。"],
    ),
    about(
        "M-033",
        ["Cookies are on here, and the peer assigned none; the session is refused.",
         "Make the tag cookie and the peer's cookie setting agree: both on or both off."],
        ["こちらはcookieが有効ですが、対向がCookieを割り当てなかったため、セッションを拒否します。",
         "両側のcookieの設定を、ともに有効かともに無効にそろえてください。"],
    ),
    about(
        "M-034",
        ["A password is set here, and the peer's answer carries no nonce: the peer does not authenticate. Its SCCRP \
          is dropped.",
         "Set the same password at the peer, or remove it at both ends."],
        ["こちらにはpasswordがありますが、対向のSCCRPにノンスが無く、認証していません。SCCRPを捨てます。",
         "対向に同じパスワードを設定するか、両側から消してください。"],
    ),
    about(
        "M-035",
        ["The peer assigned a cookie, and cookies are off here; the session is refused, as data could not pass.",
         "Make the tag cookie and the peer's cookie setting agree: both on or both off."],
        ["対向がCookieを割り当てましたが、こちらは無効です。データが通らないため、セッションを拒否します。",
         "両側のcookieの設定を、ともに有効かともに無効にそろえてください。"],
    ),
    about(
        "M-036",
        ["The peer asks for a session without a serial number, which RFC 3931 requires; the session is refused.",
         "A fault of the peer: look for an update of its software."],
        ["対向のセッション要求に、RFC 3931が必須とするシリアル番号がありません。セッションを拒否します。",
         "対向の不具合です。ソフトウェアの更新を探してください。"],
    ),
    about(
        "M-037",
        ["A received message could not be used because of one of its AVPs.",
         "The line before this one names the AVP or the length; start there."],
        ["受け取ったメッセージは、AVPの問題のために使えませんでした。",
         "直前の行に問題のAVPや長さがあります。そこから調べてください。"],
    ),
    about(
        "M-038",
        ["A message does not begin with its type, so nobody can say what it is; it was dropped.",
         "Damage, an attack, or a peer that speaks something else on this port."],
        ["メッセージの先頭に種類を示すAVPが無く、判別できないため捨てました。",
         "破損や攻撃か、対向がこのポートで別のプロトコルを使っている可能性があります。"],
    ),
    about(
        "M-039",
        ["The host name that the peer says is not the one configured for this tunnel; the tunnel is refused.",
         "Compare remote-hostname here with the peer's own host name, capital letters included; `any` switches the \
          check off."],
        ["対向が名乗るホスト名が、このトンネルの設定と異なるため、接続を拒否します。",
         "こちらのremote-hostnameと対向のホスト名を、大文字小文字も含めて比べてください。`any`にすると確認しません。"],
    ),
    about(
        "M-040",
        ["A message is not signed with our password: another password, none, or it was changed on the way. It was \
          dropped as if it had not come.",
         "Set the same password at both ends; while it is being changed, put the former one into password-old."],
        ["メッセージの署名がこちらのパスワードと合いません。届かなかったものとして捨てました。",
         "両側のpasswordを同じにしてください。変更の途中では、古い方をpassword-oldに書けます。"],
    ),
    about(
        "M-041",
        ["The peer sent an AVP that is not known here and that it marks as mandatory; the session or tunnel is \
          refused, as RFC 3931 demands.",
         "Switch off what uses that AVP at the peer; the next line has its number."],
        ["対向が、必須の印を付けた未知のAVPを送りました。RFC 3931に従って拒否します。",
         "そのAVPを使う機能を対向で止めてください。番号は次の行にあります。"],
    ),
    about(
        "M-042",
        ["A message came that has no place in the tunnel's present state; it was acknowledged and ignored.",
         "Harmless now and then, after a restart of one end; if it repeats, clear the tunnel with `l2tpctl clear \
          tunnel NAME`."],
        ["トンネルの今の状態では受け付けないメッセージが届きました。確認応答だけを返して無視しました。",
         "片側の再起動の後などに時々出るなら無害です。続く場合は`l2tpctl clear tunnel NAME`でつなぎ直してください。"],
    ),
    about(
        "M-043",
        ["The peer asks for a session whose end id no session block of this tunnel has; it is refused.",
         "Make remote-end-id of the session equal to what the peer sends; the line with M-070 shows it."],
        ["対向が求めたセッションのend-idが、このトンネルのどのセッション設定とも合わないため、拒否します。",
         "セッションのremote-end-idを対向の値と同じにしてください。対向の値はM-070の行にあります。"],
    ),
    about(
        "M-044",
        ["The peer sets bits that are reserved; the message was dropped.",
         "If the peer cannot be corrected, say `reserved-bits ignore` in the tunnel: then they are not looked at."],
        ["対向が予約ビットを立てているため、メッセージを捨てました。",
         "対向を直せない場合は、トンネルに`reserved-bits ignore`と書けば予約ビットを無視します。"],
    ),
    about(
        "M-045",
        ["The peer ended a tunnel or session with a code that is not defined. The code is ignored, the end is not.",
         "Look at the peer's own log for its reason."],
        ["対向が、定義されていないコードで終了を伝えました。コードは無視しますが、切断は行います。",
         "理由は対向のログで調べてください。"],
    ),
    about(
        "M-046",
        ["The router id that the peer says is not the one configured for this tunnel; the tunnel is refused.",
         "Compare remote-router-id here with the peer's own router id; `any` switches the check off."],
        ["対向が名乗るrouter-idが、このトンネルの設定と異なるため、接続を拒否します。",
         "こちらのremote-router-idと対向のrouter-idを比べてください。`any`にすると確認しません。"],
    ),
];
